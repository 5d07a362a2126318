"""Answers over HTTP as server-sent events: a question is asked, or one that was asked is gone on with.

The invocation that serves the request makes the answer itself, unless another worker does: then it follows what that
one stores, and takes over where it dies. Where the runtime is told that the client has gone the answer rests (Lambda
tells nobody, so there it is made to its end); whoever comes back goes on where it was. Owns the status before the
stream begins; afterwards events tell. Must not know AWS.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from sluiceway import log
from sluiceway.codec.frames import decode_event_id, encode_sse
from sluiceway.codec.headers import bearer_token
from sluiceway.codec.http import problem, refuse
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceError, SluicewayError
from sluiceway.events.http import HttpReply, HttpRequest, Problem, describe_problem
from sluiceway.events.invocation import Invocation
from sluiceway.events.socket import Frame, StreamOrder
from sluiceway.events.stream import HttpStream
from sluiceway.flows.authorize.gate import Gate
from sluiceway.flows.stream.answer import AnswerDesk, claim_answer, work_on
from sluiceway.flows.stream.asking import AskKeys, begin_once, check_ask, make_record, stop_answer
from sluiceway.flows.stream.delivery import Seat
from sluiceway.flows.stream.lines import ConnectionLine, QueueLine
from sluiceway.flows.stream.stored import bring_stored, lacks_stored, tell_end
from sluiceway.ports import AnswerRecord, Reader
from sluiceway.rules.answers import ENDED, parse_ask, parse_req
from sluiceway.rules.tokens.refusals import InvalidToken

__all__ = ["HttpDesk", "stream_answer_over_http"]

FOLLOW_S: Final = 0.5  # between two looks at an answer that another worker makes
PING_S: Final = 15.0 - FOLLOW_S  # proxies cut a silent connection at 30 and 60 s
LAST_S: Final = 1.0  # of the invocation, to end the stream in order
_NOT_KEPT: Final = {"cache-control": "no-store"}
_EVENT_STREAM: Final = {"content-type": "text/event-stream", "x-accel-buffering": "no", **_NOT_KEPT}
_UNAVAILABLE: Final = Problem("/problems/unavailable", "This cannot be served now", 503)
_REFUSED: Final = {
    "conflict": Problem("/problems/conflict", "The req is taken by another question", 409),
    "begun-elsewhere": Problem("/problems/begun-elsewhere", "The answer was begun in another Region", 409),
}
_START: Final = b": \n\n"  # a comment: status and headers leave at once


@dataclass(frozen=True, slots=True)
class HttpDesk:
    """What serving HTTP needs. `gate` is for callers whom no authorizer has let in; `models` may be named.

    `keys`: who may begin an answer (None: the answers' own records say so, in one Region).
    """

    desk: AnswerDesk
    gate: Gate
    models: frozenset[str]
    origin: str
    keys: AskKeys | None = None


@dataclass(frozen=True, slots=True)
class _Begun:
    """An answer to be streamed. `reader` says what the client has."""

    record: AnswerRecord
    reader: Reader


class _Refused(Exception):
    """The request is answered with a problem."""

    def __init__(self, status: int, reason: str, title: str) -> None:
        super().__init__(title)
        self.problem = Problem(f"/problems/{reason}", title, status)


async def stream_answer_over_http(request: HttpRequest, call: Invocation, http: HttpDesk) -> HttpStream:
    """`POST /answers` asks, `GET /answers/{req}` goes on after the event that `Last-Event-ID` names, `DELETE` stops."""
    cors = _cors(request, http)
    try:
        return await _route(request, call, http)
    except _Refused as refused:
        return _refuse(refused.problem, cors)
    except (Retryable, Misconfigured, ServiceError) as error:  # a service's own words are for the log
        log.failure("http.unserved", error)
        unavailable = problem(_UNAVAILABLE, headers={"retry-after": "2"})
        return _stream(refuse(error) or unavailable, cors)
    except Rejected as error:
        known = _REFUSED.get(error.reason)
        if known is not None:
            return _refuse(known, cors)
        status = 413 if error.reason == "too-large" else 400
        why = Problem(f"/problems/{error.reason}", "The request does not fit", status, str(error))
        return _stream(refuse(error) or problem(why), cors)


async def _route(request: HttpRequest, call: Invocation, http: HttpDesk) -> HttpStream:
    caller = request.caller or await _verify(request, call, http)
    parts = [part for part in request.path.split("/") if part]
    if request.method == "POST" and parts[-1:] == ["answers"]:
        begun = await _ask(request, caller, call=call, http=http)
        return HttpStream(_events(begun, call, http.desk), 200, _EVENT_STREAM | _cors(request, http))
    if request.method == "GET" and parts[-2:-1] == ["answers"]:
        begun = await _go_on(request, caller, req=parts[-1], http=http)
        return HttpStream(_events(begun, call, http.desk), 200, _EVENT_STREAM | _cors(request, http))
    if request.method == "DELETE" and parts[-2:-1] == ["answers"]:
        body = await _stop(caller, parse_req(parts[-1]), call=call, desk=http.desk)
        return HttpStream(_once(body), 202, {"content-type": "application/json", **_NOT_KEPT, **_cors(request, http)})
    raise _Refused(404, "no-such-route", "There is no such route")


async def _verify(request: HttpRequest, call: Invocation, http: HttpDesk) -> str:
    token = bearer_token(request.headers.get("authorization", ""))
    try:
        return (await http.gate.verify(token, deadline=call.deadline)).caller
    except InvalidToken as refusal:
        log.info("http.token_refused", reason=refusal.reason)
        raise _Refused(401, "unauthorized", "Send a bearer token") from None


async def _ask(request: HttpRequest, caller: str, *, call: Invocation, http: HttpDesk) -> _Begun:
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        raise Rejected("the body is not UTF-8", reason="invalid-body") from None
    ask = parse_ask(body, req=call.request_id)
    await check_ask(ask, caller, answers=http.desk.answers, models=http.models)
    now_ms = http.desk.clock.now_ms()
    record = make_record(ask, caller, now_ms, correlation_id=call.correlation_id)
    answers = http.desk.answers
    found = await begin_once(
        record, lambda: answers.create(record, ask.question), answers=answers, keys=http.keys, deadline=call.deadline
    )
    return _Begun(found or record, Reader("", 0))


async def _go_on(request: HttpRequest, caller: str, *, req: str, http: HttpDesk) -> _Begun:
    found = await http.desk.answers.get(caller, parse_req(req))
    if found is None:
        raise _Refused(404, "no-such-answer", "There is no such answer")
    last = request.headers.get("last-event-id", "")
    place = decode_event_id(last) if last else (0, 0)
    if place is None or place[0] > found.attempt:
        raise Rejected("Last-Event-ID is not an id of these events (attempt.length)", reason="invalid-event-id")
    return _Begun(found, Reader("", 0, off=place[1], attempt=place[0]))


async def _events(begun: _Begun, call: Invocation, desk: AnswerDesk) -> AsyncGenerator[bytes]:
    line = QueueLine()

    async def serve() -> None:
        try:
            await _serve(begun, line, call=call, desk=desk)
        except SluicewayError as error:
            log.failure("http.stream_unserved", error)
            why = describe_problem("unavailable", "The answer cannot be followed now; resume to go on")
            await line.send(Frame("error", begun.record.req, 1, begun.reader.off, 0, {**why, "resumable": True}))
        await line.end()

    yield _START
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve())
        try:
            async for frame in line:
                yield encode_sse(frame)
        except GeneratorExit:  # nobody reads on; a task group would wrap it
            serving.cancel()


async def _serve(begun: _Begun, line: QueueLine, *, call: Invocation, desk: AnswerDesk) -> None:
    """Make the answer, or follow whoever makes it."""
    loop = asyncio.get_running_loop()
    record, reader = begun.record, begun.reader
    until = call.deadline - LAST_S
    said_at = loop.time()
    while True:
        mine = await claim_answer(StreamOrder(record.caller, record.req), call, desk, waits=False)
        if mine is not None:
            await work_on(mine, call, desk, seat=Seat(reader, line))
            return
        found = await desk.answers.get(record.caller, record.req)
        if found is None:
            raise Retryable("the answer is gone")
        if found.state in ENDED or lacks_stored(found, reader):
            brought = await bring_stored(found, Seat(reader, line), answers=desk.answers, until=until)
            if brought is None or found.state in ENDED:
                return
            reader, said_at = brought, loop.time()
        if loop.time() >= until:
            why = describe_problem("deadline-exceeded", "The request ran out of time; resume to go on")
            await line.send(Frame("error", record.req, 1, reader.off, reader.attempt, {**why, "resumable": True}))
            return
        if loop.time() - said_at >= PING_S:
            await line.send(Frame("ping", record.req, 1, reader.off, reader.attempt))
            said_at = loop.time()
        await asyncio.sleep(FOLLOW_S)


async def _stop(caller: str, req: str, *, call: Invocation, desk: AnswerDesk) -> str:
    """Have the answer stopped; its state as it is then, as JSON."""
    try:
        record, ended_here = await stop_answer(caller, req, answers=desk.answers, now_ms=desk.clock.now_ms())
    except Rejected as error:
        raise _Refused(404, error.reason, "There is no such answer") from error
    if ended_here:
        seats = [Seat(reader, ConnectionLine(desk.connections, reader.connection_id)) for reader in record.readers]
        await tell_end(record, seats, answers=desk.answers, until=call.deadline - LAST_S)
    return json.dumps({"req": req, "state": record.state})


def _refuse(why: Problem, headers: Mapping[str, str]) -> HttpStream:
    return _stream(problem(why), headers)


def _stream(reply: HttpReply, headers: Mapping[str, str]) -> HttpStream:
    return HttpStream(_once(reply.body), reply.status, {**reply.headers, **headers})


async def _once(body: bytes | str) -> AsyncGenerator[bytes | str]:
    yield body


def _cors(request: HttpRequest, http: HttpDesk) -> dict[str, str]:
    """A Function URL, which has no authorizer, names the origin itself: a browser refuses two of them."""
    return {"access-control-allow-origin": http.origin} if request.caller else {}
