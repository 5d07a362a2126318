"""Where each item came from, as a target: a letter goes back to its queue, its stream, or its function.

A message's queue is the one whose redrive policy moved it; where a flow sent the letter, it is the one queue that has
this one for its dead letters. What comes from a table's stream cannot be put back there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from localcloud.replay.items import Item
from localcloud.replay.mappings import NamedRoute
from localcloud.replay.patience import keep_trying
from localcloud.replay.queue_api import LetterQueue, find_queue
from localcloud.replay.targets.functions import FunctionTarget
from localcloud.replay.targets.invokers import ApiInvoker
from localcloud.replay.targets.streams import StreamTarget
from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.wire import Caller
from sluiceway.errors import ServiceRefused
from sluiceway.ports import Chance

__all__ = ["OriginTarget", "QueueTarget"]


class QueueTarget:
    """One queue: each item's content is a message again, with its attributes; in a FIFO queue in its group.

    There a letter is named by its message id, so that it is taken once, however often it is sent within five minutes.
    """

    def __init__(self, queue: LetterQueue, *, chance: Chance) -> None:
        self._queue = queue
        self._chance = chance

    def mark(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """As the port says, one after the other, in their order. Raises SluicewayError."""
        return [await self._send(item) for item in items]

    async def _send(self, item: Item) -> str:
        try:
            body = item.content.decode()
        except UnicodeDecodeError:
            return "not-text: a message of a queue is UTF-8 text"
        system = cast("Mapping[str, str]", item.record.get("attributes") or {})
        attributes = _read_attributes(item.record.get("messageAttributes") or {})
        group = system.get("MessageGroupId") or item.partition_key or item.key
        name = "".join(letter if letter.isalnum() else "-" for letter in item.mark or item.key)[-128:]
        try:
            await keep_trying(
                lambda: self._queue.send(body, attributes, group=group[-128:], dedup_id=name), chance=self._chance
            )
        except ServiceRefused as error:
            return f"{error.reason}: {error}"
        return ""


class OriginTarget:
    """The origin of each item. `letters`: the queue that they are read from, None where it is none."""

    def __init__(self, caller: Caller, *, letters: LetterQueue | None, chance: Chance) -> None:
        self._caller = caller
        self._letters = letters
        self._chance = chance
        self._targets: dict[str, StreamTarget | QueueTarget | FunctionTarget] = {}
        self._fallback: str | None = None

    def mark(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        """As the port says; what has no origin known is refused. Items of one origin stay in order."""
        reasons = ["no-source: nobody knows where it came from, name a target"] * len(items)
        places: dict[str, list[int]] = {}
        for at, item in enumerate(items):
            origin = item.origin or (await self._find_fallback() if item.kind == "sqs" else "")
            if ":dynamodb:" in origin:
                reasons[at] = "no-source: a table's stream takes no records, use --target same"
            elif origin:
                places.setdefault(origin, []).append(at)
        for origin, at_origin in places.items():
            target = await self._find(origin)
            answers = await target.send([replace(items[at], origin=origin) for at in at_origin])
            for at, answer in zip(at_origin, answers, strict=True):
                reasons[at] = answer
        return reasons

    async def _find(self, origin: str) -> StreamTarget | QueueTarget | FunctionTarget:
        if origin not in self._targets:
            self._targets[origin] = await self._open(origin)
        return self._targets[origin]

    async def _open(self, origin: str) -> StreamTarget | QueueTarget | FunctionTarget:
        if ":lambda:" in origin:
            invoker = ApiInvoker(self._caller, chance=self._chance)
            return FunctionTarget(invoker, NamedRoute(origin), chance=self._chance)
        if ":kinesis:" in origin:
            return StreamTarget(KinesisStream(self._caller, origin), chance=self._chance)
        return QueueTarget(LetterQueue(self._caller, await find_queue(self._caller, origin)), chance=self._chance)

    async def _find_fallback(self) -> str:
        """The one queue whose dead letters come to the queue that is read; "" for none or several."""
        if self._fallback is None:
            urls = await self._letters.source_urls() if self._letters is not None else []
            self._fallback = urls[0] if len(urls) == 1 else ""
        return self._fallback


def _read_attributes(written: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The attributes of an event's record as SendMessage has them."""
    names = (("dataType", "DataType"), ("stringValue", "StringValue"), ("binaryValue", "BinaryValue"))
    return {
        attribute: {wire: value[name] for name, wire in names if name in value} for attribute, value in written.items()
    }
