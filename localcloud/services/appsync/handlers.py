"""Direct handlers of channel namespaces: what a function is told, and what its answer means. Pure.

Sources: https://docs.aws.amazon.com/appsync/latest/eventapi/direct-lambda-integrations.html and, for the rules of what
`onPublish` returns, https://docs.aws.amazon.com/appsync/latest/eventapi/channel-namespace-handlers.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.appsync.admission import Caller
from localcloud.services.appsync.channels import Channel

__all__ = ["HandlerFailed", "Incoming", "Outgoing", "describe_context", "read_published", "read_subscribed"]


class HandlerFailed(Exception):
    """A handler's answer refuses the whole request, or cannot be used; the message is for the log."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event as it was published: its id, and the JSON text that it is."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What became of an event: `text` None where it is not broadcast, `error` "" where the handler found none."""

    id: str
    text: str | None
    error: str = ""


def describe_context(
    operation: str, channel: Channel, caller: Caller, *, events: Sequence[Incoming] | None = None
) -> bytes:
    """The event of a direct handler. `operation` is PUBLISH or SUBSCRIBE, `events` None for the latter."""
    told = None if events is None else [{"payload": json.loads(event.text), "id": event.id} for event in events]
    context = {
        "identity": caller.identity,
        "result": None,
        "request": {"headers": dict(caller.headers), "domainName": None},
        "info": {
            "channel": {"path": channel.path, "segments": _segments(channel)},
            "channelNamespace": {"name": channel.namespace},
            "operation": operation,
        },
        "error": None,
        "prev": None,
        "stash": {},
        "outErrors": [],
        "events": told,
    }
    return json.dumps(context, ensure_ascii=False, separators=(",", ":")).encode()


def _segments(channel: Channel) -> list[str]:
    return [*channel.segments, "*"] if channel.is_wild else list(channel.segments)


def read_published(answer: bytes, events: Sequence[Incoming]) -> list[Outgoing]:
    """What `onPublish` makes of `events`, in their order; what it leaves out is not broadcast. Raises HandlerFailed."""
    said = _read(answer)
    if said is None:
        return [Outgoing(event.id, None) for event in events]
    if said.get("error"):
        raise HandlerFailed(f"the handler said: {said['error']}")
    listed = said.get("events")
    if not isinstance(listed, list):
        raise HandlerFailed("the handler's answer has no list of events")
    found: dict[str, Outgoing] = {}
    known = {event.id for event in events}
    for each in cast("list[object]", listed):
        if each is None:
            continue
        outgoing = _read_outgoing(each)
        if outgoing.id not in known or outgoing.id in found:
            raise HandlerFailed("the handler's answer has an event of an unknown id, or one twice")
        found[outgoing.id] = outgoing
    return [found.get(event.id, Outgoing(event.id, None)) for event in events]


def _read_outgoing(value: object) -> Outgoing:
    if not isinstance(value, dict):
        raise HandlerFailed("an event of the handler's answer is no object")
    event = cast("dict[str, Any]", value)
    event_id, error = str(event.get("id")), event.get("error")
    if error:
        return Outgoing(event_id, None, str(error))
    return Outgoing(event_id, json.dumps(event.get("payload"), ensure_ascii=False, separators=(",", ":")))


def read_subscribed(answer: bytes) -> None:
    """Raises HandlerFailed where `onSubscribe` refuses: any answer but null, and an object without an error."""
    said = _read(answer)
    if said is not None and said.get("error"):
        raise HandlerFailed(f"the handler said: {said['error']}")


def _read(answer: bytes) -> dict[str, Any] | None:
    try:
        value = parse_json(answer or b"null")
    except MalformedJson as error:
        raise HandlerFailed(f"the handler's answer is not JSON: {error}") from error
    if value is not None and not isinstance(value, dict):
        raise HandlerFailed("the handler's answer is no object")
    return cast("dict[str, Any] | None", value)
