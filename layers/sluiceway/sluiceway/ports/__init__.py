"""What flows need of the outside world. Two implementations each: `sluiceway.aws` and the in-memory ones of the tests.

Ports speak the domain (jobs, blobs, dead letters), never AWS request shapes. The machine's own clock and chance, which
need no AWS, stand here beside their ports. What one kind of function alone needs is in a module of its own beside this
one, so that the others do not load it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from sluiceway.rules.idempotency import IdempotencyRecord  # a function without keys need not load it

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_READERS",
    "MAX_SUBSCRIPTIONS",
    "AnswerRecord",
    "AnswerStore",
    "BlobStore",
    "Chance",
    "Clock",
    "Connection",
    "ConnectionStore",
    "Connections",
    "DeadLetters",
    "Dispatcher",
    "IdempotencyStore",
    "JobRecord",
    "JobStore",
    "Reader",
    "Redelivery",
    "Subscription",
    "SubscriptionStore",
    "SystemChance",
    "SystemClock",
]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MAX_MESSAGE_BYTES: Final = 131_072  # of one message over a WebSocket
MAX_READERS: Final = 8  # of one answer at once: tabs and devices of one person
MAX_SUBSCRIPTIONS: Final = 20  # of one connection, a topic each


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


@dataclass(frozen=True, slots=True)
class Reader:
    """Where an answer is read: a WebSocket connection, attached the `generation`-th time.

    The reader has the first `off` characters of what attempt `attempt` said (0: of no attempt in particular).
    """

    connection_id: str
    generation: int
    off: int = 0
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One streamed answer, known by its caller and the client's own `req`. Times are epoch milliseconds.

    `state`: asked, running, paused (nobody read it, or its worker ran out of time: whoever comes back lets it go on),
    finished, failed or cancelled. `request_sha256` fingerprints the question. `attempt` counts the workers' claims and
    continuations, `starts[i]` is the offset (characters) at which attempt i + 1 went on: what was said beyond it
    before does not count any more. `off` is how many characters are stored. `lease_owner` alone may write what a worker
    writes, until `lease_until_ms` for certain. `cancel` says that the caller wants no more. `usage` has token counts by
    name, summed over attempts. `stop_reason` is why the text ended ("" while it grows); `problem` is RFC 9457 members
    of what ended it. `correlation_id` is of the request that asked. `expires_s` is epoch seconds after which the record
    counts as gone.
    """

    caller: str
    req: str
    state: str
    request_sha256: str
    created_ms: int
    updated_ms: int
    attempt: int = 0
    starts: tuple[int, ...] = ()
    off: int = 0
    lease_owner: str = ""
    lease_until_ms: int = 0
    cancel: bool = False
    readers: tuple[Reader, ...] = ()
    stop_reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    problem: Mapping[str, object] | None = None
    correlation_id: str = ""
    expires_s: int = 0


class AnswerStore(Protocol):
    """Compare-and-set over answers. What a worker writes, a reader's attaching and a cancel do not disturb each other.

    `create` writes all of a record. After it `readers` and `cancel` are written by `attach`, `detach` and `cancel`
    alone, everything else by `replace` alone.
    """

    async def get(self, caller: str, req: str) -> AnswerRecord | None:
        """The record as last written (strongly consistent), or None; one that has expired is None."""
        ...

    async def create(self, record: AnswerRecord, question: str) -> AnswerRecord | None:
        """Write record and question (JSON text, at most 384 KB) if there is none. Returns None when there was none,
        else the record already there.
        """
        ...

    async def read_question(self, record: AnswerRecord) -> str:
        """The question of the record's `request_sha256`. Raises Rejected (`question-gone`) where it has expired."""
        ...

    async def read_text(self, record: AnswerRecord) -> str:
        """The first `record.off` characters of the answer, each from the attempt that counts.

        Raises Rejected (`text-gone`) where some have expired: a piece lives as long as the record it was written with.
        """
        ...

    async def attach(self, caller: str, req: str, reader: Reader) -> AnswerRecord | None:
        """Let `reader` have what comes; the record after it, None where there is none.

        A reader of the same connection is replaced. Raises Rejected (`too-many-readers`) for more than MAX_READERS.
        """
        ...

    async def detach(self, caller: str, req: str, reader: Reader) -> None:
        """Take the reader away, unless its connection has been attached again since (another generation)."""
        ...

    async def cancel(self, caller: str, req: str) -> AnswerRecord | None:
        """Ask whoever works on it to stop; the record after it, None where there is none."""
        ...

    async def replace(self, record: AnswerRecord, *, seen: AnswerRecord, text: str = "") -> AnswerRecord | None:
        """Write what a worker writes of `record`, if `seen` is still what is stored.

        What is compared: created_ms, state, attempt, lease_owner and off.
        `text` is the answer from `seen.off` to `record.off`; with `record.off` at or below `seen.off`, what is beyond
        `record.off` does not count any more and `text` is "". A write that begins another attempt has the attempt's
        start as `off`, and no text; after a cut, text comes from another attempt. Returns the record as it is stored
        then, with the readers and the cancel of this moment; None where somebody else has written. Returns the record
        as well where exactly this write, all members alike, is what is stored already (a retry whose first answer was
        lost). Raises ValueError for a write that breaks these rules.
        """
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """An open WebSocket connection. `generation` counts what was attached over it.

    `connected_ms` is epoch milliseconds; `expires_s` is epoch seconds after which the connection is over for certain.
    """

    connection_id: str
    caller: str
    connected_ms: int
    generation: int = 0
    expires_s: int = 0


class ConnectionStore(Protocol):
    """Who is connected."""

    async def open(self, connection: Connection) -> None:
        """Keep a new connection."""
        ...

    async def close(self, connection_id: str) -> None:
        """Forget a connection; nothing where there is none."""
        ...

    async def get(self, connection_id: str) -> Connection | None:
        """The connection, or None."""
        ...

    async def count_up(self, connection_id: str) -> int | None:
        """The connection's generation, raised by one; None where there is no such connection."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a connection wants of a topic: one filter, `pattern` ("" for every record) and `columns` (() for all).

    `generation` is the connection's when it subscribed: a later subscription of the same topic has a higher one.
    `expires_s` is epoch seconds after which the connection is over for certain. `viewer` names who looks
    (`rules.access.Viewer`): what it may see is asked anew, so that statements that change count for it as well.
    """

    connection_id: str
    topic: str
    generation: int
    pattern: str = ""
    columns: tuple[str, ...] = ()
    expires_s: int = 0
    viewer: str = ""


class SubscriptionStore(Protocol):
    """Who wants which records: one subscription for each connection and topic."""

    async def put(self, subscription: Subscription) -> None:
        """Keep a subscription in place of an earlier one; nothing where one of a higher generation is kept.

        Raises Rejected (`too-many-subscriptions`) where the connection has more than MAX_SUBSCRIPTIONS then; of several
        that it asks for at once, perhaps all that are too many are refused, and never too few.
        """
        ...

    async def remove(self, connection_id: str, topic: str) -> None:
        """Forget a connection's subscription of a topic; nothing where there is none."""
        ...

    async def drop(self, subscription: Subscription) -> None:
        """Forget this subscription, unless the connection has subscribed again since (another generation)."""
        ...

    async def forget(self, connection_id: str) -> None:
        """Forget all that a connection has subscribed."""
        ...

    async def of_topic(self, topic: str) -> tuple[Subscription, ...]:
        """All subscriptions of a topic, in the order of their connections; what was written a moment ago may lack."""
        ...


class Connections(Protocol):
    """The way to connected clients."""

    async def post(self, connection_id: str, data: bytes) -> None:
        """Send one text message of at most MAX_MESSAGE_BYTES; returns when the gateway has taken it.

        Raises `Gone` where the connection is no more, `Retryable` where the client does not keep up or the gateway is
        throttled or away (then it was perhaps sent), `Rejected` for a message that is too large.
        """
        ...

    async def disconnect(self, connection_id: str) -> None:
        """Close a connection; nothing where there is none."""
        ...


class Dispatcher(Protocol):
    """Hands an answer on to a worker."""

    async def dispatch(self, caller: str, req: str) -> None:
        """Let a worker begin, or go on with, this answer; returns when that is sure to happen at least once."""
        ...


class IdempotencyStore(Protocol):
    """Idempotency records; owners write over their own only. Raises DeadlineExceeded at `deadline` (loop's clock)."""

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """Write `record` if its key is free (`rules.idempotency.is_free`). None when it is stored now, else what is."""
        ...

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """The record as last written (strongly consistent), expired or not; None where there is none."""
        ...

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """Renew or complete the same owner's record in progress, or find that done; False where it is not the owner's.

        A late renewal shortens no lease. Raises Rejected (`result-too-large`).
        """
        ...

    async def release(self, record: IdempotencyRecord) -> None:
        """Delete the same owner's record in progress; nothing where it is another's, complete or gone."""
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
