"""What flows need of the outside world. Two implementations each: `sluiceway.aws` and the in-memory ones of the tests.

Ports speak the domain (jobs, blobs, dead letters), never AWS request shapes. The machine's own clock and chance, which
need no AWS, stand here beside their ports.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "BlobStore",
    "Chance",
    "Clock",
    "DeadLetters",
    "JobRecord",
    "JobStore",
    "Redelivery",
    "SystemChance",
    "SystemClock",
]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job. Times are epoch milliseconds.

    `state`: queued, running, succeeded or failed. `owner` is the caller that made it. `body_sha256` fingerprints the
    first request body seen for the id. `attempt` counts claims. `lease_until_ms`: until then only the claimant may
    write. `final` says that the claim was made on the message's last delivery: once such a lease lapses nobody will
    come. `result` is the answer (None until succeeded, and where `result_key` points into the blob store instead).
    `problem` is RFC 9457 members of the last failure. `conflicts` counts messages with the same id, another body.
    `expires_s` is epoch seconds after which the record counts as gone.
    """

    job_id: str
    owner: str
    state: str
    body_sha256: str
    created_ms: int
    updated_ms: int
    attempt: int = 0
    lease_owner: str = ""
    lease_until_ms: int = 0
    final: bool = False
    result: Mapping[str, object] | None = None
    result_key: str = ""
    problem: Mapping[str, object] | None = None
    conflicts: int = 0
    correlation_id: str = ""
    expires_s: int = 0


class JobStore(Protocol):
    """Compare-and-set over job records, keyed by `job_id`."""

    async def get(self, job_id: str) -> JobRecord | None:
        """The record as last written (strongly consistent), or None."""
        ...

    async def create(self, record: JobRecord) -> JobRecord | None:
        """Write `record` if the id is free. Returns None when it was, else the record already there."""
        ...

    async def replace(self, record: JobRecord, *, seen: JobRecord) -> bool:
        """Write `record` if `seen` (state, attempt, lease_owner) is still what is stored; False when it is not.

        True as well where `record` is what is stored already (a retry whose first answer was lost). `conflicts` stays
        as stored, unless `record` is a new job under an old id (another `created_ms`): then it starts at 0.
        """
        ...

    async def note_conflict(self, job_id: str) -> None:
        """Count one message that carried this id and another body."""
        ...


class BlobStore(Protocol):
    """Bytes too large for an item."""

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store `body` under `key`, replacing what was there."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None."""
        ...


class DeadLetters(Protocol):
    """Where poison goes, with its reason."""

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        """Keep `body` as it came, with `reason` (code) and `detail` (sentence) beside the original attributes."""
        ...


class Redelivery(Protocol):
    """When a message that goes back to its queue is delivered again."""

    async def return_after(self, receipt_handle: str, delay_s: int) -> None:
        """Let the message of this delivery come back once `delay_s` (0 to 43,200) seconds have passed; 0 is at once.

        It comes back after the queue's visibility timeout anyway: whoever calls this may ignore that it failed.
        """
        ...


class Chance(Protocol):
    """Randomness as a port, so that every test can be deterministic."""

    def draw(self) -> float:
        """A number from 0 to 1, evenly spread."""
        ...


class SystemChance:
    """The machine's own randomness; good for jitter, not for secrets."""

    def draw(self) -> float:
        """A number from 0 to 1, evenly spread."""
        import random  # noqa: PLC0415 - after a failure only: not on the cold path

        return random.random()  # noqa: S311 - jitter


class Clock(Protocol):
    """Time as a port, so that every test can be deterministic."""

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds."""
        return time.time_ns() // 1_000_000
