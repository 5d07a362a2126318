"""Clients of a pair while it fails over: each wants one record stored, once, and asks until it knows.

A client calls the API by its one name, with a key that it makes of the term that `GET /health` told last, and repeats
the request with that key after silence, a broken connection or a 5xx, as docs/producing.md tells clients to. What it
was told is kept; nothing is judged here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

__all__ = ["Ask", "Load", "Told"]

ANSWER_S: Final = 8.0  # for one answer; the API's own limit is 29 s, and a dark Region gives none
PAUSE_S: Final = 0.5  # before the first repeat, where the answer does not say; doubled each time
MAX_PAUSE_S: Final = 5.0  # even where it says more: a rehearsal is watched
AT_ONCE: Final = 32  # clients that wait for an answer

Told = Literal["", "stored", "in-doubt", "refused"]


@dataclass(slots=True)
class Ask:
    """One client. `key` is "" until it begins, `told` until it was told anything final; the rest is of its requests."""

    number: int
    key: str = ""
    told: Told = ""
    attempts: int = 0
    seen: list[str] = field(default_factory=list[str])
    began_s: float = 0.0
    ended_s: float = 0.0


class Load:
    """`count` clients of `url`, `rate` of them beginning in a second, with one `token` and a key each."""

    def __init__(self, url: str, *, token: str, make_key: Callable[[], str], count: int, rate: float) -> None:
        self.asks = [Ask(number) for number in range(count)]
        self._make_key = make_key
        self._url = url
        self._token = token
        self._rate = rate
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def done(self) -> int:
        """How many know what became of their record."""
        return sum(bool(ask.told) for ask in self.asks)

    @property
    def begun(self) -> int:
        """How many have sent something."""
        return sum(ask.attempts > 0 for ask in self.asks)

    async def run(self) -> None:
        """Let every client begin in its turn; returns when each knows. Cancel it to give up."""
        timeout = ClientTimeout(total=ANSWER_S)
        connector = TCPConnector(limit=0, force_close=True)  # a name is looked up for each request, as browsers may
        async with ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            for ask in self.asks:
                group.create_task(self._ask(session, ask))
                await asyncio.sleep(1 / self._rate)

    async def _ask(self, session: ClientSession, ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        ask.began_s, ask.key = loop.time(), self._make_key()
        while not ask.told:
            async with self._room:
                pause_s = await self._try(session, ask)
            await asyncio.sleep(pause_s)
        ask.ended_s = loop.time()

    async def _try(self, session: ClientSession, ask: Ask) -> float:
        """Send the request once; how long to wait before the next time, 0 where there is none."""
        ask.attempts += 1
        body = {"records": [{"key": f"k{ask.number % 16}", "data": {"rehearsal": ask.key}}]}
        headers = {"authorization": f"Bearer {self._token}", "idempotency-key": ask.key}
        try:
            async with session.post(self._url, json=body, headers=headers) as answer:
                told = await answer.json(content_type=None)
                waits = answer.headers.get("retry-after", "")
                status = answer.status
        except (ClientError, TimeoutError, ValueError) as error:
            ask.seen.append(type(error).__name__)
            return _pause_s(ask)
        ask.seen.append(_name(status, told))
        ask.told = _judge(status, told)
        if ask.told:
            return 0.0
        return min(MAX_PAUSE_S, float(waits)) if waits.isdigit() else _pause_s(ask)


def _pause_s(ask: Ask) -> float:
    return min(MAX_PAUSE_S, PAUSE_S * 2 ** min(ask.attempts - 1, 10))


def _name(status: int, told: object) -> str:
    kind = str(told.get("type", "")) if isinstance(told, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - JSON
    return f"{status} {kind}".strip()


def _judge(status: int, told: object) -> Told:
    """What the client knows now: "" where it has to ask again."""
    if not isinstance(told, dict):
        return ""
    if status == 200:
        entry = told["records"][0]  # pyright: ignore[reportUnknownVariableType] - JSON
        return "stored" if "seq" in entry else ""
    if status == 409 and str(told.get("type")) == "/problems/idempotency-in-doubt":  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - JSON
        return "in-doubt"
    return "refused" if 400 <= status < 500 and status not in {401, 408, 409, 429} else ""
