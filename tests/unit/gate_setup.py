"""A scripted issuer, a date that follows the loop, and a gate over them: for tests on the virtual clock."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

from localcloud.clock import LoopClock
from sluiceway.errors import Retryable
from sluiceway.flows.authorize.gate import Entrance, Gate
from sluiceway.flows.authorize.key_ring import KeyRing, KeysUnavailable
from sluiceway.ports.keys import Published
from sluiceway.rules.tokens import InvalidToken, IssuerRules, read_keys
from sluiceway.rules.tokens.caching import KeyCache
from tests.unit.token_setup import AUDIENCE, ISSUER, KEY, jwk
from tests.unit.token_setup import sign as sign_claims


class WallClock:
    """The layer's Clock over a loop's date; `shift_s` sets it on or back."""

    def __init__(self, date: LoopClock) -> None:
        self._date = date
        self.shift_s = 0.0

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return int((self._date.time() + self.shift_s) * 1000)


class Dice:
    """The layer's Chance, seeded."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def draw(self) -> float:
        """From 0 to 1."""
        return self._random.random()


class World:
    """One issuer, as a KeySource: what it publishes, how long it takes, and whether it answers at all.

    `fetched` are the loop's times at which it was asked; `broken` is what it answers with instead ("" for its keys).
    """

    def __init__(self, issuer: str = ISSUER, *, loop_clock: WallClock | None = None) -> None:
        self.issuer = issuer
        self.clock = loop_clock or WallClock(LoopClock(asyncio.get_running_loop()))
        self.fetched: list[float] = []
        self.keys: dict[str, Any] = {}
        self.down = False
        self.latency_s = 0.05
        self.max_age_s: float | None = None
        self.broken = ""

    def publish(self, keys: Mapping[str, Any]) -> None:
        """From now on these private keys' public halves are the issuer's, by id."""
        self.keys = dict(keys)

    def key_set(self) -> dict[str, Any]:
        """What it publishes."""
        return {"keys": [jwk(key, kid) for kid, key in self.keys.items()]}

    async def fetch(self, *, deadline: float) -> Published:
        """The port."""
        loop = asyncio.get_running_loop()
        self.fetched.append(loop.time())
        published = json.dumps(self.key_set()).encode()  # as it is when the question arrives
        down, broken, max_age_s = self.down, self.broken, self.max_age_s
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.sleep(self.latency_s)
        except TimeoutError as error:
            raise Retryable("deadline") from error
        if down:
            raise Retryable("the issuer is down")
        return Published(broken.encode() if broken else published, max_age_s)

    def ring(self, *, bundle: Mapping[str, Any] | None = None, stale_s: float = 86_400.0, seed: int = 1) -> KeyRing:
        """Its keys, with those of a deployment."""
        given = {"keys": [jwk(key, kid) for kid, key in (bundle or {}).items()]}
        cache = KeyCache(read_keys(given) if bundle else None, stale_s=stale_s)
        return KeyRing(self.issuer, cache, source=self, clock=self.clock, chance=Dice(seed))

    def gate(self, *others: World, ring: KeyRing | None = None) -> Gate:
        """A gate for this issuer and others."""
        own = Entrance(IssuerRules(self.issuer, frozenset({AUDIENCE})), ring or self.ring())
        further = [Entrance(IssuerRules(each.issuer, frozenset({AUDIENCE})), each.ring()) for each in others]
        return Gate([own, *further], clock=self.clock)

    def sign(self, *, key: Any = KEY, claims: Mapping[str, Any] | None = None, **header: Any) -> str:
        """A token of this issuer, good for an hour."""
        now = self.clock.now_ms() // 1000
        given = {"iss": self.issuer, "aud": AUDIENCE, "sub": "user-1", "iat": now, "exp": now + 3600}
        return sign_claims({**given, **(claims or {})}, key=key, **header)

    async def ask(self, gate: Gate, token: str, *, within_s: float = 4.5) -> str:
        """`allowed`, `unavailable`, or the reason of the refusal."""
        try:
            await gate.verify(token, deadline=asyncio.get_running_loop().time() + within_s)
        except InvalidToken as refused:
            return refused.reason
        except KeysUnavailable:
            return "unavailable"
        return "allowed"
