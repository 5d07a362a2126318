"""AWS as the layer sees it: a thin signed HTTP client on asyncio, and the typed operations that the hot path needs.

Only this package may know AWS wire protocols or an AWS SDK. Start at `wire.py`; the long tail is in `sdk.py`.
Values that every cold start makes are NamedTuples here: to make a frozen dataclass costs about 0.5 ms, twenty times as
much (bench/cold_start.py).
"""
