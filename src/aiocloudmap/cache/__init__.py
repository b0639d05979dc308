"""Memory of answers: entries, the rules of freshness, one call per question, and the resolver that joins them.

Nothing here knows AWS. `resolver` is where to start reading.
"""
