"""Regions that share keys: at any time one of them begins work, and what cannot be known is listed instead of guessed.

Start at `home.py`, a store over stores for an eventually consistent global table. `tenure.py` is how a Region knows
that it may begin work, `handover.py` how the home moves, `doubts.py` what is in doubt and how that ends, `strong.py`
the store for a strongly consistent global table with its sweep, `sink.py` the one for effects that honour a key
themselves, `memory.py` are stores of one process, `records.py` opens what the settings name. docs/regions.md says what
each tier guarantees.
"""
