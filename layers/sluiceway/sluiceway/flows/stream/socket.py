"""What clients ask for over a WebSocket: answers that are begun, gone on with and stopped, and topics subscribed.

Owns who may ask what of which answer, and who is told. The generation itself is a worker's, reached through the
dispatcher; what is stored already is brought from here, in order, before the worker takes over. A topic's records are
another function's to bring. Must not know AWS.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from sluiceway import log
from sluiceway.errors import Gone, Misconfigured, Rejected, Retryable, ServiceError
from sluiceway.events.http import describe_problem
from sluiceway.events.invocation import Invocation
from sluiceway.events.socket import Frame, SocketEvent, SocketReply
from sluiceway.flows.stream.asking import (
    AskKeys,
    begin_once,
    check_ask,
    check_place,
    is_unattended,
    make_record,
    stop_answer,
)
from sluiceway.flows.stream.delivery import Seat
from sluiceway.flows.stream.expiry import end_of, is_expired, turn_away
from sluiceway.flows.stream.lines import ConnectionLine
from sluiceway.flows.stream.stored import bring_stored, lacks_stored, tell_end
from sluiceway.ports import (
    AnswerRecord,
    AnswerStore,
    Clock,
    Connection,
    Connections,
    ConnectionStore,
    Dispatcher,
    Reader,
    Subscription,
    SubscriptionStore,
)
from sluiceway.rules.access import DENY_ALL, AccessRules, Viewer
from sluiceway.rules.answers import ENDED, MAX_REQ, parse_ask, parse_cancel, parse_resume
from sluiceway.rules.jobs import parse_members
from sluiceway.steps.metrics import count

__all__ = ["SocketDesk", "serve_socket"]

SUBPROTOCOL: Final = "sluiceway"
KEPT_S: Final = 1.0  # of the invocation, for what follows when stored text has been brought


@dataclass(frozen=True, slots=True)
class SocketDesk:
    """What serving a socket needs. `models`: ids that a client may name; `topics`: what there is to subscribe to,
    and `access` who may.

    `keys`: who may begin an answer (None: the answers' own records say so, in one Region).
    """

    answers: AnswerStore
    known: ConnectionStore
    subscriptions: SubscriptionStore
    connections: Connections
    dispatcher: Dispatcher
    clock: Clock
    models: frozenset[str]
    topics: frozenset[str]
    keys: AskKeys | None = None
    access: AccessRules = DENY_ALL


async def serve_socket(event: SocketEvent, call: Invocation, desk: SocketDesk) -> SocketReply:
    """Answer one event of a connection. What a message got wrong goes to its sender as an error frame."""
    if event.kind == "DISCONNECT":
        await desk.known.close(event.connection_id)
        await desk.subscriptions.forget(event.connection_id)
        return SocketReply()
    if is_expired(event, desk.clock.now_ms()):
        return await turn_away(event, _req_of(event.body), desk.connections)
    return await (_connect(event, desk) if event.kind == "CONNECT" else _serve_message(event, call, desk))


async def _serve_message(event: SocketEvent, call: Invocation, desk: SocketDesk) -> SocketReply:
    serve = _ROUTES.get(event.route, _refuse_action)
    try:
        await serve(event, call, desk)
    except Gone:
        log.info("socket.client_gone")
    except (Retryable, Misconfigured, ServiceError) as error:  # a service's own words are for the log
        log.failure("socket.unserved", error)
        await _tell_error(event, desk, _describe_trouble(error), resumable=True)
    except Rejected as error:
        members = describe_problem(error.reason, _title(error), str(error))
        if error.reason in _STATUSES:
            members = {**members, "status": _STATUSES[error.reason]}
        if error.field and event.route in _TELL_FIELD:
            members = {**members, "field": error.field}
        await _tell_error(event, desk, members, resumable=False)
    return SocketReply()


async def _connect(event: SocketEvent, desk: SocketDesk) -> SocketReply:
    """Keep the connection; its messages come only after this has been answered."""
    now_ms = desk.clock.now_ms()
    await desk.known.open(
        Connection(event.connection_id, event.caller, event.connected_ms, expires_s=end_of(event, now_ms))
    )
    count("Connected")
    return SocketReply(subprotocol=SUBPROTOCOL if SUBPROTOCOL in event.subprotocols else "")


async def _ask(event: SocketEvent, call: Invocation, desk: SocketDesk) -> None:
    ask = parse_ask(event.body)
    await check_ask(ask, event.caller, answers=desk.answers, models=desk.models)
    reader = await _reader(event, desk)
    record = make_record(ask, event.caller, desk.clock.now_ms(), correlation_id=call.correlation_id)
    record = replace(record, readers=(reader,))

    async def begin() -> AnswerRecord | None:
        found = await desk.answers.create(record, ask.question)
        if found is None:
            count("AnswersAsked")
            await desk.dispatcher.dispatch(event.caller, ask.req)
        return found

    found = await begin_once(record, begin, answers=desk.answers, keys=desk.keys, deadline=call.deadline)
    if found is not None:
        await _attach(found, reader, call=call, desk=desk)


async def _resume(event: SocketEvent, call: Invocation, desk: SocketDesk) -> None:
    resume = parse_resume(event.body)
    found = await desk.answers.get(event.caller, resume.req)
    if found is None:
        raise Rejected("there is no answer of this req", reason="no-such-answer", field="req")
    check_place(found, resume.attempt)
    reader = replace(await _reader(event, desk), off=resume.off, attempt=resume.attempt)
    count("AnswersResumed")
    await _attach(found, reader, call=call, desk=desk)


async def _attach(found: AnswerRecord, reader: Reader, *, call: Invocation, desk: SocketDesk) -> None:
    """Bring what is stored, then let the worker go on from there: two senders at once would overtake each other."""
    record: AnswerRecord | None = found
    if found.state not in ENDED:
        if lacks_stored(found, reader):
            brought = await _bring(found, reader, call=call, desk=desk)
            if brought is None:
                return
            reader = brought
        record = await _join(found, reader, desk)
    if record is None:
        raise Rejected("there is no answer of this req", reason="no-such-answer", field="req")
    if record.state in ENDED:
        await _bring(record, reader, call=call, desk=desk)
    elif is_unattended(record, desk.clock.now_ms()):
        await desk.dispatcher.dispatch(record.caller, record.req)


async def _join(found: AnswerRecord, reader: Reader, desk: SocketDesk) -> AnswerRecord | None:
    """Attach the reader. Places of connections that are over are taken: no worker may have been there to notice."""
    try:
        return await desk.answers.attach(found.caller, found.req, reader)
    except Rejected:
        for other in found.readers:
            if await desk.known.get(other.connection_id) is None:
                await desk.answers.detach(found.caller, found.req, other)
        return await desk.answers.attach(found.caller, found.req, reader)


async def _bring(record: AnswerRecord, reader: Reader, *, call: Invocation, desk: SocketDesk) -> Reader | None:
    return await bring_stored(record, _seat(reader, desk), answers=desk.answers, until=_until(call))


def _seat(reader: Reader, desk: SocketDesk) -> Seat:
    return Seat(reader, ConnectionLine(desk.connections, reader.connection_id))


def _until(call: Invocation) -> float:
    return call.deadline - min(KEPT_S, call.remaining_s() / 2)


async def _cancel(event: SocketEvent, call: Invocation, desk: SocketDesk) -> None:
    cancel = parse_cancel(event.body)
    now_ms = desk.clock.now_ms()
    record, ended_here = await stop_answer(event.caller, cancel.req, answers=desk.answers, now_ms=now_ms)
    if record.state not in ENDED:
        return  # its worker sees it, and tells everyone
    others = [reader for reader in record.readers if ended_here and reader.connection_id != event.connection_id]
    seats = [_seat(reader, desk) for reader in (await _reader(event, desk), *others)]
    await tell_end(record, seats, answers=desk.answers, until=_until(call))


async def _subscribe(event: SocketEvent, call: Invocation, desk: SocketDesk) -> None:
    """Keep the subscription, then say so; the records come from the next read of the subscriptions on."""
    from sluiceway.rules.subscribing import parse_subscribe  # noqa: PLC0415 - cold start: only subscribers pay for it

    del call
    asked = parse_subscribe(event.body, desk.topics)
    viewer = Viewer(event.groups, event.tenant)
    if desk.access.view(asked.topic, viewer) is None:
        count("TopicsForbidden")
        raise Rejected("none of your groups may read this topic", reason="forbidden-topic", field="topic")
    reader = await _reader(event, desk)
    await desk.subscriptions.put(
        Subscription(
            event.connection_id,
            asked.topic,
            reader.generation,
            pattern=asked.wanted.pattern,
            columns=asked.wanted.columns,
            expires_s=end_of(event, desk.clock.now_ms()),
            viewer=viewer.name,
        )
    )
    count("TopicsSubscribed")
    await _confirm("subscribed", asked.req, asked.topic, event=event, desk=desk)


async def _unsubscribe(event: SocketEvent, call: Invocation, desk: SocketDesk) -> None:
    from sluiceway.rules.subscribing import parse_unsubscribe  # noqa: PLC0415 - as above

    del call
    asked = parse_unsubscribe(event.body, desk.topics)
    await desk.subscriptions.remove(event.connection_id, asked.topic)
    await _confirm("unsubscribed", asked.req, asked.topic, event=event, desk=desk)


async def _confirm(
    kind: Literal["subscribed", "unsubscribed"], req: str, topic: str, *, event: SocketEvent, desk: SocketDesk
) -> None:
    await ConnectionLine(desk.connections, event.connection_id).send(Frame(kind, req, 1, 0, 0, {"topic": topic}))


async def _refuse_action(event: SocketEvent, call: Invocation, desk: SocketDesk) -> None:
    del event, call, desk
    raise Rejected(
        "action must be ask, resume, cancel, submit, subscribe or unsubscribe", reason="unknown-action", field="action"
    )


async def _reader(event: SocketEvent, desk: SocketDesk) -> Reader:
    """The sender as a reader, attached once more. Raises Gone where its connection is over."""
    generation = await desk.known.count_up(event.connection_id)
    if generation is None:
        raise Gone("the connection is over")
    return Reader(event.connection_id, generation)


async def _tell_error(event: SocketEvent, desk: SocketDesk, members: Mapping[str, object], *, resumable: bool) -> None:
    frame = Frame("error", _req_of(event.body), 1, 0, 0, {**members, "resumable": resumable})
    try:
        await ConnectionLine(desk.connections, event.connection_id).send(frame)
    except (Gone, Retryable) as error:
        log.warning("socket.error_untold", error_type=type(error).__name__)


def _describe_trouble(error: Exception) -> Mapping[str, object]:
    """What keeps a message from being served now; `retry_after_s` where the guard knows when to ask again."""
    from sluiceway.codec.refusals import explain  # noqa: PLC0415 - after an error only: not on the cold path

    refusal = explain(error)
    if refusal is None:
        return describe_problem("unavailable", "This cannot be served now; try again")
    members = {"type": refusal.problem.type, "title": refusal.problem.title}
    return members if refusal.retry_after_s is None else {**members, "retry_after_s": refusal.retry_after_s}


def _req_of(body: str) -> str:
    """The req that a message names, as far as it can be told; "" where it cannot."""
    try:
        req = parse_members(body).get("req")
    except Rejected:
        return ""
    return req[:MAX_REQ] if isinstance(req, str) else ""


def _title(error: Rejected) -> str:
    return _TITLES.get(error.reason, "The message cannot be served")


_Serve = Callable[[SocketEvent, Invocation, SocketDesk], Awaitable[None]]
_ROUTES: Final[Mapping[str, _Serve]] = {
    "ask": _ask,
    "resume": _resume,
    "cancel": _cancel,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
}
_TELL_FIELD: Final = frozenset({"subscribe", "unsubscribe"})  # whose messages are trees: a sentence is hard to act on
_STATUSES: Final[Mapping[str, int]] = {"forbidden-topic": 403}  # as over HTTP, for what is told from the rest by it
_TITLES: Final[Mapping[str, str]] = {
    "invalid-body": "The message does not fit",
    "conflict": "The req is taken by another question",
    "begun-elsewhere": "The answer was begun in another Region",
    "idempotency-in-doubt": "An earlier attempt began, and nobody knows whether it ended",
    "too-large": "The question is too large",
    "no-such-answer": "There is no such answer",
    "unknown-action": "There is no such action",
    "unknown-model": "There is no such model",
    "too-many-readers": "Too many readers of this answer",
    "unknown-topic": "There is no such topic",
    "forbidden-topic": "You may not read this topic",
    "invalid-pattern": "The pattern cannot be used",
    "too-many-subscriptions": "Too many subscriptions of this connection",
}
