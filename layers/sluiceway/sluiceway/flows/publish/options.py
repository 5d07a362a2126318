"""What a user can choose about a producer, with the bounds of each choice. Must not know streams or tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sluiceway.rules.producing.records import DEFAULT_RECORD_BYTES, MAX_RECORD_BYTES

__all__ = ["ProducerOptions"]

_BOUNDS: Final = {
    "linger_s": (0.0, 60.0),
    "give_up_s": (0.1, 900.0),
    "max_record_bytes": (1, MAX_RECORD_BYTES),
    "max_bytes_held": (1024, 1 << 40),
    "calls_at_once": (1, 64),
}


@dataclass(frozen=True, slots=True)
class ProducerOptions:
    """`aggregate`: pack records by shard, for consumers that open aggregates.

    `linger_s`: how long a record waits for others (0 to 60; 0: what is put in one turn of the event loop goes
    together). `give_up_s`: how long a record is tried (0.1 to 900). `max_record_bytes`: what the stream takes (up to
    10 MiB). `max_bytes_held`: memory of what is under way (1 KiB and more); beyond it `put` waits. `calls_at_once`: 1
    to 64. Raises ValueError out of bounds.
    """

    aggregate: bool = False
    linger_s: float = 0.1
    give_up_s: float = 30.0
    max_record_bytes: int = DEFAULT_RECORD_BYTES
    max_bytes_held: int = 32 * 1024 * 1024
    calls_at_once: int = 4

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {least} to {most}")
