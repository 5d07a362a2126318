"""What a pipe does with a batch: enrich it, hand it to the target, say which of its events failed.

1. Templates are applied to each event. A function gets a list of events, also of one; the other targets each event by
   itself, as many as their batch calls take.
2. What an enrichment answers goes to the target; "", {} and [] go nowhere.
3. An event that the target did not take has failed, and so has what its batchItemFailures name. After an enrichment
   that gave another number of events nobody knows whose they are: then all of the batch has failed.

Knows the services by the `PipePort` only.
Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-enrichment.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from localcloud.clock import Clock
from localcloud.compute.functions import InvokeResult
from localcloud.json_text import MalformedJson
from localcloud.services.events.envelope import write_time
from localcloud.services.events.json_values import decode, encode
from localcloud.services.events.templates import InputTooLarge
from localcloud.services.pipes.inputs import InputTemplate, Item, Unreadable
from localcloud.services.pipes.payload import PipeEvent, read_records, with_data
from localcloud.services.pipes.settings import PipeSettings

__all__ = ["Failed", "Outgoing", "PipePort", "Stages"]

log = logging.getLogger(__name__)

_FAILURES: Final = "batchItemFailures"
_TAKE_LISTS: Final = frozenset({"lambda", "states"})  # targets that are given all events of a batch in one list


class Failed(Exception):
    """The enrichment or the target did not do its part, and may not be able to: it counts as a try."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event for a target: its body, and the event that parameters with paths look into."""

    body: str
    item: Item


class PipePort(Protocol):
    """The services of enrichments and targets, reached with the pipe's role.

    Both raise Failed; an error that passes by itself (a throttle) stays what the service made it.
    """

    async def invoke(self, settings: PipeSettings, arn: str, payload: bytes, *, wait: bool) -> InvokeResult:
        """Invoke a function or start a machine, or hand it the payload only."""
        ...

    async def send(self, settings: PipeSettings, outgoing: Outgoing) -> None:
        """Give one event to a target that is no function."""
        ...


class Stages:
    """A pipe's stages after its filter."""

    def __init__(self, settings: PipeSettings, port: PipePort, clock: Clock) -> None:
        self._settings = settings
        self._port = port
        self._clock = clock
        pipe = settings.pipe
        self._constants = {
            "aws.pipes.pipe-arn": pipe.arn,
            "aws.pipes.pipe-name": pipe.name,
            "aws.pipes.source-arn": settings.source_arn,
            "aws.pipes.enrichment-arn": settings.enrichment_arn,
            "aws.pipes.target-arn": settings.target.arn,
        }

    async def run(self, payload: bytes) -> InvokeResult:
        """What a mapping's function would answer to the event of a batch. Raises what the services raise."""
        events = read_records(payload, self._settings.kind)
        try:
            failed = await self._pass_on(events)
        except Failed as failure:
            log.warning("pipe.batch_failed", extra={"pipe": self._settings.pipe.arn, "error": str(failure)})
            return InvokeResult(200, function_error="Unhandled")
        answer = {_FAILURES: [{"itemIdentifier": event.mapping_id} for event in failed]}
        return InvokeResult(200, json.dumps(answer).encode())

    async def _pass_on(self, events: Sequence[PipeEvent]) -> Sequence[PipeEvent]:
        """The events that failed, one by one. Raises Failed where all of them have."""
        settings = self._settings
        items = [Item(event.fields, with_data(event.fields, settings.kind)) for event in events]
        if settings.enrichment_arn:
            answered = await self._enrich(items)
            if answered is None:
                return ()
            items = answered
        if settings.target.service in _TAKE_LISTS:
            return await self._invoke(items, events)
        failures = [number for number, item in enumerate(items) if not await self._send(item)]
        if len(items) != len(events) and failures:
            raise Failed("of the events of the enrichment some were not taken")
        return [events[number] for number in failures]

    # ------------------------------------------------------------------ enrichment

    async def _enrich(self, items: Sequence[Item]) -> list[Item] | None:
        """What the enrichment makes of the events; None for nothing."""
        settings = self._settings
        bodies = [self._fill(settings.enrichment_input, item) for item in items]
        result = await self._port.invoke(settings, settings.enrichment_arn, _array(bodies), wait=True)
        if result.function_error:
            raise Failed("the enrichment failed")
        answer = _read(result.payload)
        if not answer and not isinstance(answer, bool):
            return None
        values = cast("list[object]", answer) if isinstance(answer, list) else [answer]
        return [Item(value, value) for value in values]

    # ------------------------------------------------------------------ target

    async def _invoke(self, items: Sequence[Item], events: Sequence[PipeEvent]) -> Sequence[PipeEvent]:
        settings = self._settings
        payload = _array([self._fill(settings.target.template, item) for item in items])
        result = await self._port.invoke(settings, settings.target.arn, payload, wait=settings.target.waits)
        if result.function_error:
            raise Failed("the target failed")
        named = _named_failures(_read(result.payload)) if settings.target.waits else []
        known = {event.item_id for event in events}
        if any(name not in known for name in named):
            raise Failed("the target named a failure that is none of the batch's events")
        return [event for event in events if event.item_id in named]

    async def _send(self, item: Item) -> bool:
        """Whether the target took the event."""
        settings = self._settings
        try:
            await self._port.send(settings, Outgoing(self._fill(settings.target.template, item), item))
        except (Failed, Unreadable) as failure:
            log.warning("pipe.event_failed", extra={"pipe": settings.pipe.arn, "error": str(failure)})
            return False
        return True

    def _fill(self, template: InputTemplate | None, item: Item) -> str:
        if template is None:
            return item.text
        constants = {**self._constants, "aws.pipes.event.ingestion-time": write_time(self._clock.time())}
        try:
            return template.fill(item, constants)
        except InputTooLarge as error:
            raise Failed("the filled template is larger than any target takes") from error


def _array(bodies: Sequence[str]) -> bytes:
    """A list of what is JSON each; what is none is a text in it."""
    return f"[{','.join(body if _is_json(body) else encode(body) for body in bodies)}]".encode()


def _is_json(text: str) -> bool:
    try:
        decode(text)
    except MalformedJson:
        return False
    return True


def _read(payload: bytes) -> object:
    """A function's answer; what is no JSON is text."""
    if not payload:
        return None
    text = payload.decode(errors="replace")
    try:
        return decode(text)
    except MalformedJson:
        return text


def _named_failures(answer: object) -> list[object]:
    """The identifiers that an answer names, None for an entry without one; nothing where it names no failures."""
    found = cast("Mapping[str, object]", answer).get(_FAILURES) if isinstance(answer, dict) else None
    entries = cast("list[object]", found) if isinstance(found, list) else []
    return [
        cast("Mapping[str, object]", entry).get("itemIdentifier") if isinstance(entry, dict) else None
        for entry in entries
    ]
