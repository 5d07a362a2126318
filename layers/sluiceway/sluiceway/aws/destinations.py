"""The port of filtering's destinations on AWS: messages in batches, each key in its order, failures one by one.

Owns how many messages a request has, which of them may go together, and when one is tried again. Of an ordered
destination a request holds one message of a key: requests are taken apart by the services, so of two messages of a key
in one request the first may fail and the second not. Must not know what a message means.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from sluiceway.aws.batch_entries import Entry, Failures
from sluiceway.aws.destinations_kinesis import put_records
from sluiceway.aws.events import Event, put_events
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.sns import publish_batch
from sluiceway.aws.sqs_batch import send_batch
from sluiceway.aws.wire import Caller
from sluiceway.errors import DeadlineExceeded, Misconfigured, Rejected, Retryable, ServiceRefused, SluicewayError
from sluiceway.ports import Chance
from sluiceway.ports.filtering import Outgoing
from sluiceway.rules.filtering import Destination, DestinationKind

__all__ = ["AwsDestinations"]

MIB: Final = 1_048_576
CALLS_AT_ONCE: Final = 8  # to one destination
TRIES: Final = 4  # of a message that a service refused for now within a success
FIRST_PAUSE_S: Final = 0.1
MAX_ID: Final = 128  # characters: SQS API_SendMessage and SNS API_Publish, MessageDeduplicationId and MessageGroupId
TIME_BYTES: Final = 14  # of an event: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html


class _Limits(NamedTuple):
    """Of one request: entries, bytes together; and bytes of one message."""

    entries: int
    together: int
    one: int


_LIMITS: Final[Mapping[DestinationKind, _Limits]] = {
    "stream": _Limits(500, 10 * MIB, 10 * MIB),  # a stream's own MaxRecordSizeInKiB is the service's to hold
    "sqs": _Limits(10, MIB, MIB),
    "sns": _Limits(10, MIB // 4, MIB // 4),
    "events": _Limits(10, MIB, MIB),
    "s3": _Limits(100_000, 64 * MIB, 64 * MIB),  # ours: an object of one batch
}
# Sources: API_PutRecords, API_SendMessageBatch, API_PublishBatch, API_PutEvents (destinations' own modules)
_Post = Callable[[Sequence[Outgoing], float], Awaitable[Failures]]


class AwsDestinations:
    """Destinations by the one wire. Holds no connection: those are the `Caller`'s."""

    def __init__(self, caller: Caller, chance: Chance) -> None:
        self._caller = caller
        self._chance = chance

    async def send(
        self, destination: Destination, messages: Sequence[Outgoing], *, deadline: float
    ) -> Sequence[SluicewayError | None]:
        """As the port says."""
        post = self._poster(destination)
        return await _Sending(destination, messages, post=post, chance=self._chance, deadline=deadline).run()

    def _poster(self, destination: Destination) -> _Post:
        caller, target = self._caller, destination.target

        async def to_stream(messages: Sequence[Outgoing], deadline: float) -> Failures:
            records = [(each.key, each.body.encode()) for each in messages]
            return await put_records(caller, target, records, deadline=deadline)

        async def to_queue(messages: Sequence[Outgoing], deadline: float) -> Failures:
            return await send_batch(caller, target, _entries(destination, messages), deadline=deadline)

        async def to_topic(messages: Sequence[Outgoing], deadline: float) -> Failures:
            return await publish_batch(caller, target, _entries(destination, messages), deadline=deadline)

        async def to_bus(messages: Sequence[Outgoing], deadline: float) -> Failures:
            events = [Event(destination.source, destination.detail_type, each.body, each.sent_ms) for each in messages]
            return await put_events(caller, target, events, deadline=deadline)

        async def to_bucket(messages: Sequence[Outgoing], deadline: float) -> Failures:
            body = "".join(f"{each.body}\n" for each in messages).encode()
            key = _name_object(destination, messages)
            await Bucket(caller, target).put(key, body, content_type="application/x-ndjson", deadline=deadline)
            return {}

        posters: Mapping[DestinationKind, _Post] = {
            "stream": to_stream,
            "sqs": to_queue,
            "sns": to_topic,
            "events": to_bus,
            "s3": to_bucket,
        }
        return posters[destination.kind]


def _entries(destination: Destination, messages: Sequence[Outgoing]) -> list[Entry]:
    if not destination.is_fifo:
        return [Entry(each.body, each.attributes) for each in messages]
    return [Entry(each.body, each.attributes, _fit(each.key), _fit(each.message_id)) for each in messages]


def _fit(text: str) -> str:
    """The text, or its SHA-256 where it is longer than the ids of FIFO queues may be, or has other characters."""
    fits = 1 <= len(text) <= MAX_ID and text.isascii() and text.isprintable() and " " not in text
    return text if fits else sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _name_object(destination: Destination, messages: Sequence[Outgoing]) -> str:
    """The same for the same messages, so that a retry writes the object again and no other beside it."""
    ids = sha256(json.dumps([each.message_id for each in messages]).encode()).hexdigest()[:16]
    first = messages[0].attributes
    rule, shard = first.get("rule", "rule"), first.get("shard", "shard")
    return f"{destination.prefix}{rule}/{shard}/{first.get('sequence_number', '0')}-{ids}.jsonl"


# ---------------------------------------------------------------- one sending


class _Sending:
    """One call: lanes of messages that wait for one another, and what became of each message."""

    def __init__(
        self, destination: Destination, messages: Sequence[Outgoing], *, post: _Post, chance: Chance, deadline: float
    ) -> None:
        self._messages = messages
        self._post = post
        self._chance = chance
        self._deadline = deadline
        self._limits = _LIMITS[destination.kind]
        self._fates: list[SluicewayError | None] = [DeadlineExceeded("not sent before the deadline")] * len(messages)
        self._tries = [0] * len(messages)
        self._sizes = [_size(destination, message) for message in messages]
        self._lane_of = [each.key if destination.ordered else str(at) for at, each in enumerate(messages)]
        self._lanes: dict[str, deque[int]] = {}
        for at, size in enumerate(self._sizes):
            if size > self._limits.one:
                rule = f"a message to this destination has {self._limits.one} bytes at most"
                self._fates[at] = Rejected(rule, reason="message-too-large")
            else:
                self._lanes.setdefault(self._lane_of[at], deque()).append(at)

    async def run(self) -> Sequence[SluicewayError | None]:
        """Send until nothing waits. Between rounds of refusals there is a pause that grows."""
        loop = asyncio.get_running_loop()
        refusals = 0
        while self._lanes:
            before = sum(self._tries)
            chunks = self._cut()
            waiting = iter(chunks)
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(CALLS_AT_ONCE, len(chunks))):
                    workers.create_task(self._work(waiting))
            refusals = refusals + 1 if sum(self._tries) > before else 0
            if self._lanes and refusals:
                pause_s = FIRST_PAUSE_S * 2 ** (refusals - 1) * (0.5 + self._chance.draw() / 2)
                if loop.time() + pause_s >= self._deadline:
                    break
                await asyncio.sleep(pause_s)
        return self._fates

    def _cut(self) -> list[list[int]]:
        """The first messages of all lanes, in the order in which they came, as requests."""
        chunks: list[list[int]] = []
        size = 0
        for at in sorted(lane[0] for lane in self._lanes.values()):
            more = self._sizes[at]
            if not chunks or len(chunks[-1]) >= self._limits.entries or size + more > self._limits.together:
                chunks.append([])
                size = 0
            chunks[-1].append(at)
            size += more
        return chunks

    async def _work(self, waiting: Iterator[list[int]]) -> None:
        for chunk in waiting:
            await self._send(chunk)

    async def _send(self, chunk: list[int]) -> None:
        if asyncio.get_running_loop().time() >= self._deadline:
            return self._settle_all(chunk, DeadlineExceeded("not sent before the deadline"))
        try:
            failures = await self._post([self._messages[at] for at in chunk], self._deadline)
        except ServiceRefused as error:
            if len(chunk) == 1:
                return self._settle(chunk[0], error)
            # For the sake of one message, perhaps: which one is found out by halves
            middle = len(chunk) // 2
            for half in (chunk[:middle], chunk[middle:]):
                await self._send(half)
            return None
        except SluicewayError as error:
            return self._settle_all(chunk, error)
        for place, at in enumerate(chunk):
            failure = failures.get(place)
            self._tries[at] += failure is not None
            if not isinstance(failure, Retryable) or self._tries[at] >= TRIES:
                self._settle(at, failure)
        return None

    def _settle_all(self, chunk: list[int], error: SluicewayError) -> None:
        for at in chunk:
            self._settle(at, error)

    def _settle(self, at: int, fate: SluicewayError | None) -> None:
        """Take the message from its lane; what may be sent later keeps what is behind it from being sent."""
        self._fates[at] = fate
        lane = self._lanes[self._lane_of[at]]
        lane.popleft()
        if fate is not None and not isinstance(fate, Rejected):
            behind = Retryable("an earlier message of its key was not sent")
            for later in lane:  # a destination that is set up wrongly would refuse them as well
                self._fates[later] = fate if isinstance(fate, Misconfigured) else behind
            lane.clear()
        if not lane:
            del self._lanes[self._lane_of[at]]


def _size(destination: Destination, message: Outgoing) -> int:
    """As the service counts it."""
    body = len(message.body.encode())
    match destination.kind:
        case "stream":
            return body + len(message.key.encode())
        case "events":
            return body + len(destination.source.encode()) + len(destination.detail_type.encode()) + TIME_BYTES
        case "s3":
            return body + 1
        case _:
            each = (len(name) + len("String") + len(value.encode()) for name, value in message.attributes.items())
            return body + sum(each)
