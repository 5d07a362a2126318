"""Recorded events sent again: to the local cloud, to `sam local invoke`, to a deployed function, to a URL.

Needs the standard library and the layer's own modules only, so it runs without the `[local]` extra, from a checkout
(`events/replay.py`) as from the wheel (`sluiceway replay`).
"""
