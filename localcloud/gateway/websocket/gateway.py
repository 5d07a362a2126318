"""The deployed WebSocket stages and their open connections: what happens at the handshake, for a message, at the end.

Owns routing, throttles and the table of connections. Knows no sockets and no HTTP but the handshake's request.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-overview.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final, TypeAlias

from localcloud.clock import Clock
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import trace_of
from localcloud.gateway.message import HttpRequest
from localcloud.gateway.rest import Backends
from localcloud.gateway.telling import Called, measure
from localcloud.gateway.throttle import TokenBucket
from localcloud.gateway.websocket.authorizers import authorize
from localcloud.gateway.websocket.connection import GOING_AWAY, BufferFull, Connection
from localcloud.gateway.websocket.definition import CONNECT, DISCONNECT, Route, Stage, WebSocketApi
from localcloud.gateway.websocket.exchange import Client, Ending, Exchange, make_id
from localcloud.gateway.websocket.integrations import Answer, call_integration
from localcloud.gateway.websocket.selection import DEFAULT
from localcloud.gateway.websocket.telling import SocketTelling
from localcloud.traces.requests import RequestSpans

__all__ = ["Accepted", "Refused", "WebSocketGateway"]

NEW_CONNECTIONS_PER_S: Final = 500  # quota of an account and Region, the WebSocket quotas page
RATE, BURST = 10_000, 5000  # account default, https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
Listener: TypeAlias = Callable[[Connection, Ending | None], None]
"""Told of a connection that is open now, or of its ending."""
_Run: TypeAlias = Callable[[Called], Awaitable[Answer]]
_Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The handshake may be answered; then `connection.open(wire)`. `subprotocol` is "" where none was chosen."""

    connection: Connection
    subprotocol: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The handshake's answer where there is no connection."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class _Deployed:
    """A stage; `definition` gives the API, which for an automatically deployed stage changes with its parts."""

    stage: Stage
    definition: Callable[[], WebSocketApi]
    buckets: dict[str, TokenBucket]
    telling: SocketTelling | None = None

    def admits(self, route_key: str, now_s: float) -> bool:
        """Whether the route may be called once more now."""
        bucket = self.buckets.get(route_key) or self.buckets.get("")
        return bucket is None or bucket.take(now_s)


class WebSocketGateway:
    """All stages and connections of one Region. `group` owns the tasks; `close()` before it ends."""

    def __init__(self, backends: Backends, *, group: asyncio.TaskGroup, clock: Clock, random: Random) -> None:
        self._backends = backends
        self._group = group
        self._clock = clock
        self._random = random
        self._stages: dict[tuple[str, str], _Deployed] = {}
        self._connections: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrivals = TokenBucket(NEW_CONNECTIONS_PER_S, NEW_CONNECTIONS_PER_S)
        self._calls = TokenBucket(RATE, BURST)
        self._is_closed = False
        self._listeners: list[Listener] = []
        self._spans = RequestSpans(backends.recorder)
        self.known: set[str] = set()
        """The ids of all WebSocket APIs, with stages or none yet."""
        self.callback_host = ""
        """Host and port at which functions reach the management API by `https`, "" where they do not."""

    # ---- stages

    def deploy(self, stage: Stage, definition: Callable[[], WebSocketApi]) -> None:
        """Serve the API at the stage from now on; a stage of the same name is replaced."""
        buckets = {each.route_key: TokenBucket(each.rate, each.burst) for each in stage.throttles}
        api, telling = definition(), self._backends.telling
        told = SocketTelling(telling, api.id, api.region, stage=stage) if telling is not None else None
        self._stages[api.id, stage.name] = _Deployed(stage, definition, buckets, told)

    def remove(self, api_id: str, stage_name: str) -> None:
        """Serve the stage no longer: its connections are closed."""
        self._stages.pop((api_id, stage_name), None)
        for connection in tuple(self._connections.values()):
            if (connection.api_id, connection.stage) == (api_id, stage_name):
                connection.close(GOING_AWAY)

    def stages(self) -> list[tuple[str, str]]:
        """API id and name of every stage."""
        return list(self._stages)

    def api_ids(self) -> frozenset[str]:
        """The id of every API that has a stage."""
        return frozenset(api_id for api_id, _ in self._stages)

    def api(self, api_id: str, stage_name: str) -> WebSocketApi | None:
        """What a stage serves, None where there is no such stage."""
        deployed = self._stages.get((api_id, stage_name))
        return deployed.definition() if deployed is not None else None

    def find(self, connection_id: str) -> Connection | None:
        """An open connection."""
        return self._connections.get(connection_id)

    def connections(self) -> list[Connection]:
        """Every open connection."""
        return list(self._connections.values())

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear of every connection as it opens and as it ends; the answer stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def admit_call(self) -> bool:
        """Whether the account may call back once more now; callbacks and messages share its rate."""
        return self._calls.take(self._clock.time())

    def close(self) -> None:
        """Close every connection and drop what is under way."""
        self._is_closed = True
        for connection in tuple(self._connections.values()):
            connection.close(GOING_AWAY)
        for task in tuple(self._tasks):
            task.cancel()

    # ---- the handshake

    async def connect(self, api_id: str, stage_name: str, handshake: HttpRequest) -> Accepted | Refused:
        """Run `$connect`. The connection is not open, and its id good for nothing, until the caller opens it."""
        now_s = self._clock.time()
        client = Client(make_id(self._random), handshake, now_s, trace_of(handshake, now_s, self._random))
        deployed = self._stages.get((api_id, stage_name))
        if deployed is None:
            return _refuse(GatewayError("WAF_FILTERED", reason=f"there is no stage {api_id}/{stage_name}"), client, "")
        exchange = self._exchange(deployed, client, CONNECT)
        try:
            answer = await self._watch(exchange, deployed, lambda called: self._run_connect(exchange, deployed, called))
        except GatewayError as error:
            return _refuse(error, client, exchange.request_id)
        if not 200 <= answer.status < 300:
            _LOG.info("websocket.connect_refused status=%s", answer.status)
            return Refused(answer.status, answer.body, {"content-type": answer.headers.get("content-type", "")})
        connection = Connection(client, api_id=api_id, stage=stage_name, listener=self, clock=self._clock)
        return Accepted(connection, _subprotocol(handshake, answer))

    async def _run_connect(self, exchange: Exchange, deployed: _Deployed, called: Called) -> Answer:
        self._admit(self._arrivals, deployed, CONNECT)
        route = exchange.api.route(CONNECT)
        if route is None:
            return Answer(200)
        if route.authorizer_id:
            authorizer = exchange.api.authorizers[route.authorizer_id]
            await authorize(exchange, authorizer, functions=self._backends.functions, clock=self._clock)
        return await self._integrate(exchange, route, called)

    # ---- what connections tell

    def opened(self, connection: Connection) -> None:
        """The handshake is answered: the id may be used."""
        self._connections[connection.id] = connection
        self._tell(connection, None)

    def received(self, connection: Connection, text: str) -> None:
        """A message: it is routed in a task of its own, so messages of one client may overtake each other."""
        self._spawn(partial(self._route, connection, text))

    def ended(self, connection: Connection, ending: Ending) -> None:
        """The connection is no more: `$disconnect` is told, at best."""
        self._connections.pop(connection.id, None)
        self._tell(connection, ending)
        self._spawn(partial(self._disconnect, connection, ending))

    # ---- inside

    def _tell(self, connection: Connection, ending: Ending | None) -> None:
        for listener in tuple(self._listeners):
            listener(connection, ending)

    def note_sent(self, connection: Connection) -> None:
        """A message went to the client of a connection."""
        deployed = self._stages.get((connection.api_id, connection.stage))
        if deployed is not None and deployed.telling is not None:
            deployed.telling.sent()

    async def _watch(self, exchange: Exchange, deployed: _Deployed, run: _Run) -> Answer:
        """What `run` answers, with a span around it and the stage told of it. Raises what `run` does."""
        span = self._spans.begin(
            exchange.trace_id,
            exchange.route_key,
            api=exchange.api.id,
            stage=exchange.stage.name,
            connection=exchange.client.connection_id,
            request_id=exchange.request_id,
        )
        status, failure, called = 500, None, Called()
        try:
            answer = await run(called)
            status = answer.status
        except GatewayError as error:
            status, failure = error.status, error
            raise
        finally:
            self._spans.end(span, status)
            if deployed.telling is not None:
                mock = _is_mock(exchange)
                deployed.telling.tell(exchange, called, status, error=failure, mock=mock)
        return answer

    async def _integrate(self, exchange: Exchange, route: Route, called: Called) -> Answer:
        return await measure(called, call_integration(exchange, route, self._backends), _status)

    async def _route(self, connection: Connection, text: str) -> None:
        deployed = self._stages.get((connection.api_id, connection.stage))
        if deployed is None:
            return
        exchange = self._exchange(deployed, connection.client, DEFAULT, body=text)
        try:
            route = self._select(exchange)
            answer = await self._watch(
                exchange, deployed, lambda called: self._run_route(exchange, deployed, route, called=called)
            )
        except GatewayError as error:
            _log_error(error, exchange.route_key)
            _tell(connection, _error_frame(error.message, connection.id, exchange.request_id))
            return
        if answer.body and exchange.api.is_two_way(route):
            _tell(connection, answer.body)
            self.note_sent(connection)

    async def _run_route(self, exchange: Exchange, deployed: _Deployed, route: Route, *, called: Called) -> Answer:
        self._admit(self._calls, deployed, route.key)
        return await self._integrate(exchange, route, called)

    def _select(self, exchange: Exchange) -> Route:
        """The route of the message's key, else `$default`. Raises GatewayError."""
        key = exchange.api.selection.evaluate(exchange.look_up)
        route = exchange.api.route(key) if key and key not in {CONNECT, DISCONNECT} else None
        route = route or exchange.api.route(DEFAULT)
        if route is None:
            raise GatewayError("WAF_FILTERED", reason="no route and no $default route")
        exchange.route_key = route.key
        return route

    async def _disconnect(self, connection: Connection, ending: Ending) -> None:
        deployed = self._stages.get((connection.api_id, connection.stage))
        route = deployed.definition().route(DISCONNECT) if deployed is not None else None
        if deployed is None or route is None:
            return
        exchange = self._exchange(deployed, connection.client, DISCONNECT, ending=ending)
        try:
            await self._watch(exchange, deployed, lambda called: self._integrate(exchange, route, called))
        except GatewayError as error:
            _log_error(error, DISCONNECT)

    def _exchange(
        self, deployed: _Deployed, client: Client, key: str, *, body: str | None = None, ending: Ending | None = None
    ) -> Exchange:
        return Exchange(
            api=deployed.definition(),
            stage=deployed.stage,
            client=client,
            route_key=key,
            now_s=self._clock.time(),
            random=self._random,
            body=body,
            ending=ending,
        )

    def _admit(self, account: TokenBucket, deployed: _Deployed, route_key: str) -> None:
        """Raise GatewayError where the account's or the route's rate is used up."""
        now_s = self._clock.time()
        if not account.take(now_s) or not deployed.admits(route_key, now_s):
            raise GatewayError("THROTTLED", reason=route_key)

    def _spawn(self, work: _Work) -> None:
        if self._is_closed:
            return
        task = self._group.create_task(_guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _status(answer: Answer) -> int:
    return answer.status


def _is_mock(exchange: Exchange) -> bool:
    route = exchange.api.route(exchange.route_key)
    integration = exchange.api.integrations.get(route.integration_id) if route is not None else None
    return integration is not None and integration.kind == "mock"


async def _guard(work: _Work) -> None:
    try:
        await work()
    except Exception:  # noqa: BLE001 - the outermost edge: one message's failure is never the group's
        _LOG.exception("websocket.failed")


def _log_error(error: GatewayError, route_key: str) -> None:
    _LOG.warning("websocket.answered_error route=%s kind=%s reason=%s", route_key, error.kind, error.reason)


def _error_frame(message: str, connection_id: str, request_id: str) -> bytes:
    return json.dumps({"message": message, "connectionId": connection_id, "requestId": request_id}).encode()


def _tell(connection: Connection, data: bytes) -> None:
    """Send what nobody waits for: a client that has gone or does not read misses it."""
    try:
        connection.post(data)
    except (BufferFull, ConnectionError):
        _LOG.info("websocket.answer_lost")


def _refuse(error: GatewayError, client: Client, request_id: str) -> Refused:
    _log_error(error, CONNECT)
    body = _error_frame(error.message, client.connection_id, request_id or client.connection_id)
    return Refused(error.status, body, {"content-type": "application/json"})


def _subprotocol(handshake: HttpRequest, answer: Answer) -> str:
    """What the integration chose of the client's subprotocols; without its word none is.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html
    """
    offered = {each.strip() for each in (handshake.header("sec-websocket-protocol") or "").split(",")}
    chosen = answer.headers.get("sec-websocket-protocol", "")
    return chosen if chosen in offered else ""
