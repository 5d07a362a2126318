"""Reading a stream for as long as a process lives, together with other workers; and replaying a part of it.

Start at `consumer.py`: which shards a worker holds. `shard.py` is one of them, `reading.py` how it is read,
`opening.py` what its records are, `lanes.py` how they are worked off, `keeping.py` how its lease is kept.
`replaying.py` is a plain iterator with no leases. The decisions are `rules.consuming`'s, the outside is
`ports.consuming`'s. docs/consuming.md has the guarantees.
"""

from sluiceway.flows.consume.consumer import Consumer
from sluiceway.flows.consume.memory import MemoryLeaseStore
from sluiceway.flows.consume.options import ConsumeDesk, ConsumeOptions, Manner
from sluiceway.flows.consume.replaying import Replay, ReplayOptions, ReplayProgress, open_replay
from sluiceway.flows.consume.shard import ShardProgress

__all__ = [
    "ConsumeDesk",
    "ConsumeOptions",
    "Consumer",
    "Manner",
    "MemoryLeaseStore",
    "Replay",
    "ReplayOptions",
    "ReplayProgress",
    "ShardProgress",
    "open_replay",
]
