"""The console of several Regions: the page, its API and its events, of their host.

GET /config.json             {"local": true, "regions": ["us-east-1", "us-west-2"], "audience": "...", ...}

GET /api/regions             what is so now
    {"now_ms": 1, "regions": [REGION, ...], "beside": [{"region": "us-east-2", "dark": false}], "cuts": [[A, B], ...],
     "lags": [{"source": A, "target": B, "pending": 3, "oldest_s": 1.5}, ...],
     "group": {"name": "...", "term": TERM | null} | null, "names": [NAME, ...], "checks": [CHECK, ...],
     "asks": [{"to": B, "why": "failover" | "failback" | "home-is-dark"}, ...], "story": [ENTRY, ...]}
    Of `beside` is where the term's table has replicas beside the pair. TERM is `sluiceway.rules.terms.Term`, NAME and
    CHECK are `localcloud.services.route53.snapshot`'s; NAME has the "region" that is answered, "" for none.

REGION {"region": A, "dark": false, "role": "primary", "home": true, "console": URL, "fresh": true,
        "health": {"status": 200, "said": "healthy", "checks": {"keys": "ok", ...}} | null,
        "seen": {"well": true, "at_ms": 1, "by": B} | null,
        "alarms": [{"name": "failover-asked", "state": "OK", "since_ms": 1, "about": "..."}, ...],
        "doubts": {"parked": 2, "fenced": 1} | null}
    Where `fresh` is false, alarms and doubts are those that were told last.

ENTRY  {"at_ms": 1, "kind": "killed", "text": "...", "tone": "bad" | "asks" | "good" | "", "since_ms": 2 | null}

POST /api/kill/{region}, /api/recover/{region}                                     what is so afterwards
POST /api/links  {"source": A, "target": B, "cut": true, "both"?: true}            the same
GET  /api/look?to=B                                  what switch_region says: the term, and "readiness"
POST /api/approve  {"to": B, "name": "R. Roe", "reason": "incident 4711", "force"?: false}    the term that begins
POST /api/drill  {"region": A, "name": "...", "reason": "...", "minutes": 10}      0 ends it
    409 with what speaks against it, in words

GET /api/events              server-sent events: `regions`, with what `/api/regions` gives, when it is looked at
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from localcloud.console.events import Events
from localcloud.console.identity import Identity, read_object, read_words
from localcloud.console.refusals import ApiError
from localcloud.console.regions.watch import Host, Watch
from localcloud.console.site import Asked, Routes, Site, Stream, origin_of, serve_site
from localcloud.regions.control import ControlError
from localcloud.regions.switching import Switch, Told, switch_of
from localcloud.state import NotRunning, RunningState
from sluiceway.errors import SluicewayError

__all__ = ["Desk", "serve_regions_console"]

MAX_NAME_CHARS: Final = 128
MAX_REASON_CHARS: Final = 512  # an approval has 1,024 with the name
MAX_DRILL_MINUTES: Final = 24 * 60  # `codec.switch`
Json: TypeAlias = dict[str, Any]


@asynccontextmanager
async def serve_regions_console(host: Host, state: RunningState, listener: socket.socket) -> AsyncGenerator[None]:
    """Answer on `listener` while the context lasts. `state` is the host's own."""
    events = Events()
    watch = Watch(host, events)
    desk = Desk(host, watch, audience=state.audience, switch=lambda: switch_of(state))

    async def read_events(_: Mapping[str, str]) -> Stream:
        watch.want()
        await asyncio.sleep(0)
        return Stream(events.read())

    identity = Identity(state.endpoints["aws"], folder=Path(state.issuer), audience=state.audience, clock=host.clock)
    site = Site(origin_of(listener), {**desk.routes(), **identity.routes()}, {"/api/events": read_events}, called={})
    watching = asyncio.create_task(watch.run())  # noqa: TID251 - ended below, and fails only with the process
    try:
        async with serve_site(site, listener):
            try:
                yield
            finally:
                events.end()
    finally:
        watching.cancel()


class Desk:
    """What a person asks for. `audience` is of tokens; `switch` gives the functions that hand over."""

    def __init__(self, host: Host, watch: Watch, *, audience: str, switch: Callable[[], Switch]) -> None:
        self._host = host
        self._watch = watch
        self._audience = audience
        self._switch = switch

    def routes(self) -> Routes:
        """Everything but tokens, keys and events."""
        return {
            "/config.json": {"GET": self._config},
            "/api/regions": {"GET": lambda _: self._watch.told()},
            "/api/kill/": {"POST": lambda asked: self._control(asked.tail, kills=True)},
            "/api/recover/": {"POST": lambda asked: self._control(asked.tail, kills=False)},
            "/api/links": {"POST": self._link},
            "/api/look": {"GET": self._look},
            "/api/approve": {"POST": self._approve},
            "/api/drill": {"POST": self._drill},
        }

    async def _config(self, _: Asked) -> Json:
        await asyncio.sleep(0)
        return {
            "local": True,
            "regions": list(self._host.readers),
            "region": "",
            "model": "",
            "audience": self._audience,
            "endpoints": {},
        }

    async def _control(self, region: str, *, kills: bool) -> Json:
        await self._check(region)
        change = self._host.control.kill if kills else self._host.control.recover
        try:
            await change(region)
        except ControlError as error:
            raise ApiError(f"Not done: {error}.", status=error.status) from error
        return self._watch.tell()

    async def _link(self, asked: Asked) -> Json:
        members = read_object(asked.body, "source", "target", "cut", "both")
        source, target = (read_words(members.get(name), name, most=32) for name in ("source", "target"))
        if source == target:
            raise ApiError("Between a Region and itself nothing can be cut.")
        for region in (source, target):
            await self._check(region)
        cut, both = _read_flag(members, "cut", default=True), _read_flag(members, "both", default=True)
        self._host.control.link(source, target, cut=cut, both=both)
        return self._watch.tell()

    async def _look(self, asked: Asked) -> Json:
        to = asked.query.get("to", "")
        await self._check(to, pair=True)
        return await self._ask(lambda switch: switch.look(to))

    async def _approve(self, asked: Asked) -> Json:
        members = read_object(asked.body, "to", "name", "reason", "force")
        to, approval = read_words(members.get("to"), "to", most=32), _read_approval(members)
        force = _read_flag(members, "force", default=False)
        await self._check(to, pair=True)
        return await self._ask(lambda switch: switch.approve(to, approval, force=force))

    async def _drill(self, asked: Asked) -> Json:
        members = read_object(asked.body, "region", "name", "reason", "minutes")
        region, approval = read_words(members.get("region"), "region", most=32), _read_approval(members)
        minutes = members.get("minutes")
        if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 <= minutes <= MAX_DRILL_MINUTES:
            raise ApiError(f"minutes is a whole number from 0 to {MAX_DRILL_MINUTES:,}.")
        await self._check(region, pair=True)
        return await self._ask(lambda switch: switch.drill(region, approval, minutes=minutes))

    async def _check(self, region: str, *, pair: bool = False) -> None:
        """Raises ApiError where there is no such Region; with `pair`, where nothing runs in it."""
        await self._watch.told()  # where the term is, is not known before the first look
        known = tuple(self._host.readers) if pair else self._watch.places
        if region not in known:
            raise ApiError(f"There is no such Region here; there are {', '.join(known)}.", status=404)
        if pair and region in self._watch.dark:
            raise ApiError(
                f"The Region {region} is dark: nobody there answers. Recover it, or ask the other Region.", status=409
            )

    async def _ask(self, order: Callable[[Switch], Awaitable[Told]]) -> Json:
        """What switch_region answers. Raises ApiError with its own words where it refuses."""
        try:
            told = await order(self._switch())
        except (SluicewayError, NotRunning) as error:
            raise ApiError(f"No answer of switch_region: {error}.", status=409) from error
        if "refused" in told:
            raise ApiError(f"Refused: {told['message']} ({told['refused']}).", status=409)
        return dict(told)


def _read_approval(members: Json) -> str:
    """Who decided it, and why, as the term keeps it."""
    name = read_words(members.get("name"), "name", most=MAX_NAME_CHARS)
    reason = read_words(members.get("reason"), "reason", most=MAX_REASON_CHARS)
    return f"{reason.strip()}, {name.strip()}"


def _read_flag(members: Json, name: str, *, default: bool) -> bool:
    value = members.get(name, default)
    if not isinstance(value, bool):
        raise ApiError(f"{name} is true or false.")
    return value
