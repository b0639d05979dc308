"""Which instance: how it is reached, and whose turn it is."""
