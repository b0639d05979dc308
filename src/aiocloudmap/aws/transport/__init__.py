"""Bounded connections, shared by every AWS client of the process."""
