"""What was there before, sent again: recorded events with their replies, and records of streams, queues and archives.

`command` sends recorded `cases`; with `--from` it is `records`: a source, a target, and the `engine` between them.
Needs the standard library and the layer's own modules only, so it runs without the `[local]` extra, from a checkout
(`events/replay.py`) as from the wheel (`sluiceway replay`).
"""
