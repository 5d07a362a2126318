"""Event source mappings: what is set of them, which there are, and what they poll."""
