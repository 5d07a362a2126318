"""Rules: pure decisions, without I/O, clocks or AWS. Time, chance and keys come as arguments."""
