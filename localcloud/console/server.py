"""The console of one Region's cloud: its page, its API and its events. `site` says who is answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from localcloud.console.api import Api, Facts
from localcloud.console.events import Counters, Events
from localcloud.console.identity import Identity
from localcloud.console.mesh.api import Mesh, open_mesh
from localcloud.console.records import ApiNames, describe_connection, describe_log
from localcloud.console.site import MAX_READERS, Asked, Routes, Site, Stream, origin_of, serve_site
from localcloud.gateway.websocket.connection import Connection
from localcloud.gateway.websocket.exchange import Ending
from localcloud.http_server import Servers
from localcloud.services.logs.model import LogEvent
from localcloud.traces.recorder import Span

__all__ = ["MAX_READERS", "origin_of", "serve_console"]


@asynccontextmanager
async def serve_console(facts: Facts, listener: socket.socket, *, among: Servers | None = None) -> AsyncGenerator[None]:
    """Answer on `listener` while the context lasts; readers of events are let go at its end."""
    events = Events()
    async with open_mesh(facts, lambda name, told: events.tell(name, lambda: told)) as mesh:
        console = _Console(facts, events, mesh)
        called = {name: url for name, url in facts.state.endpoints.items() if name != "aws"}
        streams = {"/api/events": console.read_events, "/api/tail": console.read_tail}
        site = Site(origin_of(listener), console.routes(), streams, called=called)
        async with serve_site(site, listener, among=among):
            try:
                with console.listening():
                    yield
            finally:
                events.end()
                mesh.close()


class _Console:
    """What is answered; `events` are what all pages read."""

    def __init__(self, facts: Facts, events: Events, mesh: Mesh) -> None:
        self._events = events
        self._mesh = mesh
        self._facts = facts
        self._api = Api(facts)
        self._names = ApiNames(facts.state.endpoints)

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hear of spans, log lines and connections, and tell them to whoever reads the events."""
        facts = self._facts
        stops = [
            facts.recorder.listen(self._tell_span),
            facts.logs.listen(self._tell_log),
            facts.sockets.listen(self._tell_connection),
        ]
        try:
            yield
        finally:
            for stop in stops:
                stop()

    # ------------------------------------------------------------------ what is asked

    def routes(self) -> Routes:
        """Everything but files and events."""
        api, facts = self._api, self._facts
        provider = facts.issuer_at or facts.state.endpoints["aws"]
        identity = Identity(provider, folder=facts.folder, audience=facts.state.audience, clock=facts.clock)

        async def cut(asked: Asked) -> None:
            api.cut(asked.tail)

        return {
            "/config.json": {"GET": _at_once(lambda _: api.config())},
            "/api/traces": {"GET": _at_once(lambda asked: api.traces(asked.query))},
            "/api/traces/": {"GET": _at_once(lambda asked: api.trace(asked.tail))},
            "/api/logs": {"GET": _at_once(lambda asked: api.logs(asked.query))},
            "/api/connections": {"GET": _at_once(lambda _: api.connections())},
            "/api/connections/": {"DELETE": cut},
            **identity.routes(),
            **self._mesh_routes(),
        }

    def _mesh_routes(self) -> Routes:
        mesh = self._mesh

        async def cancel(asked: Asked) -> None:
            mesh.cancel(asked.tail)

        async def stop_demo(_: Asked) -> None:
            mesh.stop_demo()

        return {
            "/api/streams": {"GET": lambda _: mesh.streams()},
            "/api/records": {"GET": lambda asked: mesh.records(asked.query)},
            "/api/letters/": {"POST": lambda asked: mesh.letters(asked.tail)},
            "/api/replays": {"POST": lambda asked: mesh.replay(asked.body)},
            "/api/replays/": {"DELETE": cancel},
            "/api/demo": {"POST": lambda asked: mesh.demo(asked.body), "DELETE": stop_demo},
        }

    # ------------------------------------------------------------------ events

    async def read_events(self, _: Mapping[str, str]) -> Stream:
        """All that happens, from now on."""
        await asyncio.sleep(0)
        return Stream(self._events.read(), Counters(self._facts.sockets, self._names).changed)

    async def read_tail(self, query: Mapping[str, str]) -> Stream:
        """What arrives in a stream. Raises ApiError."""
        tail, pattern = await self._mesh.tail(query)
        return Stream(tail.read(pattern))

    def _tell_span(self, span: Span) -> None:
        self._events.tell("span", span.to_json)

    def _tell_log(self, event: LogEvent) -> None:
        self._events.tell("log", lambda: describe_log(event, self._facts.functions()))

    def _tell_connection(self, connection: Connection, ending: Ending | None) -> None:
        what = "opened" if ending is None else "closed"
        self._events.tell("connection", lambda: {"event": what, **describe_connection(connection, self._names)})


def _at_once(answer: Callable[[Asked], dict[str, Any]]) -> Callable[[Asked], Any]:
    """A route that waits for nothing."""

    async def route(asked: Asked) -> dict[str, Any]:
        await asyncio.sleep(0)
        return answer(asked)

    return route
