"""The mechanisms of the cache: a cell holds an answer, freshness judges it, a flight renews it, the table bounds it.

They know the words (`model`, `settings`, `errors`) and nothing of AWS; `aiocloudmap.cache.resolver` joins them.
"""
