"""What a producer decides: which records it takes, which may go now, how fast, and which keys are hot.

`records` has the limits, `lanes` the order by key, `pace` the pauses and the window, `hot_keys` the count. Pure; must
not know streams, shards or tasks.
"""
