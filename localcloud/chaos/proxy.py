"""A Runtime API proxy: an HTTP server for one function's runtime, before the Runtime API that Lambda gives it.

Every call is passed on with its headers, bodies and trailers as they come, streamed responses too; between an event and
its answer a fault may be carried out, which `Effects.judge` decided when the event came. Any runtime client can use it:
it is told this address for the other one. Knows no plan and no process.

While the answer to an event is lost, nobody is given another: Lambda runs one at a time in an environment, and has not
heard the end of that one.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Final

import h11

from localcloud.chaos.answers import DELIMITER, HTTP_CONTENT_TYPE, change_buffered, change_prelude
from localcloud.chaos.deliveries import Deliveries, Delivery, Effects
from localcloud.chaos.drawing import Verdict
from localcloud.chaos.faults import Change, Drop, Duplicate, Fail, Kill, Late
from localcloud.chaos.wire import Broken, Headers, Peer
from localcloud.clock import Clock
from localcloud.listening import HOST, Listener

__all__ = ["RuntimeProxy"]

NEXT: Final = "/2018-06-01/runtime/invocation/next"
ANSWER: Final = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)")
ACCEPTED: Final = b'{"status":"OK"}\n'
MAX_EVENT_BYTES: Final = 6 * 1024 * 1024 + 100  # the emulator's MaxPayloadSize, of events and of buffered answers
MAX_PRELUDE_BYTES: Final = 128 * 1024  # status and headers of an HTTP answer
_JSON: Final = (b"content-type", b"application/json")
_LOG: Final = logging.getLogger(__name__)


class RuntimeProxy:
    """Answers on a loopback port from `open()` until `close()`, and asks `upstream` (`host:port`).

    `group` owns its connections; it must last until `wait_closed()` has returned.
    """

    def __init__(self, upstream: str, effects: Effects, *, clock: Clock, group: asyncio.TaskGroup) -> None:
        self.address = ""
        self.upstream = upstream
        self.deliveries = Deliveries(effects, clock)
        self._group = group
        self._listener = Listener()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> str:
        """Start to listen; the answer is `host:port`, for AWS_LAMBDA_RUNTIME_API. Raises OSError."""
        port = await self._listener.open(lambda: _Downstream(self, self._listener), port=port)
        self.address = f"{HOST}:{port}"
        return self.address

    def close(self) -> None:
        """Stop listening and end every connection, also in the middle of a message. Safe to repeat."""
        self.deliveries.close()
        for task in self._tasks:
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        """After `close()`: wait until no connection is left."""
        await self._listener.wait_closed()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def serve(self, connection: _Connection) -> asyncio.Task[None]:
        """Serve a connection that a runtime has made."""
        task = self._group.create_task(connection.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Downstream(asyncio.StreamReaderProtocol):
    """A connection of the runtime's, as asyncio sees it."""

    def __init__(self, proxy: RuntimeProxy, listener: Listener) -> None:
        self._reader = asyncio.StreamReader()
        super().__init__(self._reader)
        self._proxy = proxy
        self._listener = listener
        self._connection: _Connection | None = None
        self._serving: asyncio.Task[None] | None = None  # asyncio's own class has a `_task`
        self._transport_made: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(transport, asyncio.Transport):
            writer = asyncio.StreamWriter(transport, self, self._reader, asyncio.get_running_loop())
            self._transport_made = transport
            self._connection = _Connection(self._proxy, Peer(self._reader, writer, h11.SERVER))
            self._serving = self._proxy.serve(self._connection)
        self._listener.enter(self)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # the Runtime API of the local cloud, and the emulator's, take it for the end

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._listener.leave(self)
        if self._serving is not None and self._connection is not None and self._connection.waits:
            self._serving.cancel()  # an event that comes now would have nobody to go to

    def drop(self) -> None:
        """End it now."""
        if isinstance(self._transport_made, asyncio.Transport):
            self._transport_made.abort()


class _Connection:
    """One connection of the runtime's, with one to Lambda's API that is made when it is needed."""

    def __init__(self, proxy: RuntimeProxy, down: Peer) -> None:
        self.waits = False
        self._proxy = proxy
        self._deliveries = proxy.deliveries
        self._down = down
        self._up: Peer | None = None

    async def run(self) -> None:
        """Serve it to its end."""
        try:
            while await self._serve_one() and self._down.renew():
                pass
            self._down.close()
        except Broken:
            self._down.abort()  # as the end of Lambda's own connection would look
        except Exception:  # noqa: BLE001 - the outermost edge of a connection
            _LOG.exception("chaos.proxy.failed")
            self._down.abort()
        finally:
            if self._up is not None:
                self._up.abort()

    async def _serve_one(self) -> bool:
        try:
            request = await self._down.read()
        except Broken:
            if self._down.http.our_state is not h11.IDLE or self._down.is_gone:
                raise
            await self._down.reply(400, b"This is no HTTP.\n", [(b"connection", b"close")])
            return False
        if not isinstance(request, h11.Request):
            return False
        path = request.target.decode("latin-1").partition("?")[0]
        answer = ANSWER.fullmatch(path)
        if request.method == b"GET" and path == NEXT:
            await self._next(request)
        elif request.method == b"POST" and answer is not None:
            await self._settle(request, self._deliveries.settle(answer[1]))
        else:
            await self._pass(request)
        return True

    # ------------------------------------------------------------------ events

    async def _next(self, request: h11.Request) -> None:
        await self._down.drop_body()
        self.waits = True
        try:
            found = await self._find_event(request)
        finally:
            self.waits = False
        if isinstance(found, Delivery):
            self._deliveries.hand_over(found)
            fault = found.verdict.fault
            if isinstance(fault, Kill) and fault.when == "during":
                self._deliveries.kill_after(found, fault.after_s)
            found = (found.head, found.event)
        head, body = found
        await self._down.send(_response(head), h11.Data(data=body), h11.EndOfMessage())

    async def _find_event(self, request: h11.Request) -> Delivery | tuple[h11.Response, bytes]:
        """The next event that is to reach the handler; what else the Runtime API answered, as it is."""
        while True:
            await self._deliveries.wait_for_lost()
            again = self._deliveries.repeated()
            if again is not None:
                return again
            head, body = await self._ask(request)
            if head.status_code != 200:
                return head, body
            delivery = self._deliveries.take_in(head, body)
            if await self._reaches(delivery):
                return delivery

    async def _reaches(self, delivery: Delivery) -> bool:
        """Carry out what comes before the handler; False where the event ends here."""
        verdict, effects = delivery.verdict, self._deliveries.effects
        for step in verdict.delays:
            effects.done(step)
        await asyncio.sleep(verdict.delay_s)
        if isinstance(verdict.fault, Fail):
            await self._post_error(delivery.request_id, verdict.fault)
            effects.done(verdict.step)
            return False
        if isinstance(verdict.fault, Kill) and verdict.fault.when == "before":
            effects.done(verdict.step)
            effects.kill()
            raise Broken("the runtime was killed")
        return True

    async def _post_error(self, request_id: str, fault: Fail) -> None:
        error = {"errorMessage": fault.message, "errorType": fault.error_type, "stackTrace": list[str]()}
        body = json.dumps(error).encode()
        headers = [
            (b"Host", self._proxy.upstream.encode()),
            _JSON,
            (b"Lambda-Runtime-Function-Error-Type", fault.error_type.encode()),
            (b"Content-Length", str(len(body)).encode()),
        ]
        target = f"/2018-06-01/runtime/invocation/{request_id}/error".encode()
        up = await self._upstream()
        await up.send(h11.Request(method="POST", target=target, headers=headers), h11.Data(data=body))
        await up.send(h11.EndOfMessage())
        await up.head()
        await up.drop_body()
        self._finish_upstream()

    async def _ask(self, request: h11.Request) -> tuple[h11.Response, bytes]:
        up = await self._upstream()
        await up.send(_request(request), h11.EndOfMessage())
        head = await up.head()
        body, _, is_whole = await up.body(2 * MAX_EVENT_BYTES)
        if not is_whole:
            raise Broken("an event over every limit")
        self._finish_upstream()
        return head, body

    # ------------------------------------------------------------------ answers

    async def _settle(self, request: h11.Request, delivery: Delivery | None) -> None:
        """The runtime answers: pass it on, or carry out what was decided."""
        fault = delivery.verdict.fault if delivery is not None else None
        if delivery is None or not isinstance(fault, Drop | Duplicate | Late | Kill | Change):
            await self._pass(request)
        elif isinstance(fault, Late):
            await self._settle_late(request, delivery, fault)
        elif isinstance(fault, Change):
            await self._settle_changed(request, delivery.verdict, fault)
        elif isinstance(fault, Kill) and fault.when != "after":
            await self._pass(request)  # it was quicker
        else:
            await self._swallow(delivery)

    async def _swallow(self, delivery: Delivery) -> None:
        fault = delivery.verdict.fault
        await self._down.drop_body()
        self._deliveries.effects.done(delivery.verdict.step)
        if isinstance(fault, Kill):
            self._deliveries.effects.kill()
            raise Broken("the runtime was killed")
        if isinstance(fault, Duplicate):
            self._deliveries.hand_over_again(delivery)
        else:
            self._deliveries.lose(delivery)
        await self._down.reply(202, ACCEPTED, [_JSON])

    async def _settle_late(self, request: h11.Request, delivery: Delivery, fault: Late) -> None:
        self._deliveries.effects.done(delivery.verdict.step)
        left_s = delivery.deadline_s - self._deliveries.clock.time()
        await asyncio.sleep(max(0.0, left_s) + fault.late_s)
        await self._pass(request)

    async def _settle_changed(self, request: h11.Request, verdict: Verdict, change: Change) -> None:
        """Change the status where it is the answer to an HTTP event, and pass it on."""
        if request.target.endswith(b"/error"):
            await self._pass(request)
            return
        headers = request.headers.raw_items()
        found = {name.lower(): value for name, value in headers}
        if found.get(b"lambda-runtime-function-response-mode") == b"streaming":
            is_http = found.get(b"content-type", b"").startswith(HTTP_CONTENT_TYPE)
            await self._pass_prelude(request, verdict, change if is_http else None)
            return
        body, _, is_whole = await self._down.body(MAX_EVENT_BYTES)
        changed = change_buffered(body, change) if is_whole else None
        if changed is not None:
            self._deliveries.effects.done(verdict.step)
            body = changed
        if is_whole:
            headers = _with_length(headers, len(body))
        up = await self._upstream()
        await up.send(h11.Request(method="POST", target=request.target, headers=headers), h11.Data(data=body))
        await (up.send(h11.EndOfMessage()) if is_whole else _pump(self._down, up))
        await self._answer_from(up)

    async def _pass_prelude(self, request: h11.Request, verdict: Verdict, change: Change | None) -> None:
        up = await self._upstream()
        await up.send(_request(request))
        begun = bytearray()
        while change is not None and DELIMITER not in begun and len(begun) < MAX_PRELUDE_BYTES:
            event = await self._down.read()
            if not isinstance(event, h11.Data):
                await up.send(h11.Data(data=bytes(begun)), *_ends(event))
                await self._answer_from(up)
                return
            begun += event.data
        changed = change_prelude(bytes(begun), change) if change is not None else None
        if changed is not None:
            self._deliveries.effects.done(verdict.step)
        await up.send(h11.Data(data=changed or bytes(begun)))
        if changed is not None and change is not None and change.body is not None:
            await self._down.drop_body()
            await up.send(h11.EndOfMessage())
        else:
            await _pump(self._down, up)
        await self._answer_from(up)

    # ------------------------------------------------------------------ passing on

    async def _pass(self, request: h11.Request) -> None:
        """A call with its answer, each part as it comes."""
        up = await self._upstream()
        await up.send(_request(request))
        await _pump(self._down, up)
        await self._answer_from(up)

    async def _answer_from(self, up: Peer) -> None:
        await self._down.send(_response(await up.head()))
        await _pump(up, self._down)
        self._finish_upstream()

    async def _upstream(self) -> Peer:
        if self._up is None or self._up.is_gone:
            host, _, port = self._proxy.upstream.rpartition(":")
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
            except OSError as error:
                raise Broken(str(error)) from error
            self._up = Peer(reader, writer, h11.CLIENT)
        return self._up

    def _finish_upstream(self) -> None:
        if self._up is not None and not self._up.renew():
            self._up.abort()
            self._up = None


def _request(request: h11.Request) -> h11.Request:
    return h11.Request(method=request.method, target=request.target, headers=request.headers.raw_items())


def _response(response: h11.Response) -> h11.Response:
    return h11.Response(status_code=response.status_code, headers=response.headers.raw_items(), reason=response.reason)


def _with_length(headers: Headers, length: int) -> Headers:
    kept = [(name, value) for name, value in headers if name.lower() not in {b"content-length", b"transfer-encoding"}]
    return [*kept, (b"Content-Length", str(length).encode())]


def _ends(event: object) -> list[h11.Event]:
    if isinstance(event, h11.EndOfMessage):
        return [h11.EndOfMessage(headers=event.headers.raw_items())]
    raise Broken("the connection ended in the middle of a message")


async def _pump(source: Peer, target: Peer) -> None:
    """The rest of a message, each part as it comes, and its trailers."""
    while isinstance(event := await source.read(), h11.Data):
        await target.send(h11.Data(data=bytes(event.data)))
    await target.send(*_ends(event))
