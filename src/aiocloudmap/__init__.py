"""Async service discovery for AWS Cloud Map."""
