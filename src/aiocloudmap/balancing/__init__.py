"""Which instance to use: its addresses, and whose turn it is."""
