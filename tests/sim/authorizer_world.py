"""One seed of the authorizer's life: an issuer that rotates, withdraws, hangs, lies and goes down; environments in two
Regions that start late, freeze and have wrong clocks; tokens that are good, forged and old.

What is expected is worked out here from what was published and what was fetched, by two rules, and not from the code's
own state: who may be let in (`_may_allow`), and who must be (`_must_allow`).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from localcloud.clock import LoopClock, run_virtual
from sluiceway.errors import Retryable
from sluiceway.flows.authorize.gate import Entrance, Gate
from sluiceway.flows.authorize.key_ring import KeyRing, KeysUnavailable
from sluiceway.ports.keys import Published
from sluiceway.rules.tokens import InvalidToken, IssuerRules, KeySet, read_keys
from sluiceway.rules.tokens.caching import PENALTY_S, KeyCache
from tests.unit.gate_setup import Dice, WallClock
from tests.unit.token_setup import AUDIENCE, ISSUER, NOW, b64, jwk, part, seal

STALE_S = 6 * 3_600.0
POOL = [ed25519.Ed25519PrivateKey.generate() for _ in range(6)]
WRONG = ed25519.Ed25519PrivateKey.generate()
SHOWN = {f"k{number}": jwk(key, f"k{number}") for number, key in enumerate(POOL)}
MakeCache = Callable[[KeySet | None, float], KeyCache]


def _token(key: Any, kid: str, **changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "iat": NOW - 10**7, "exp": NOW + 10**8, **changes}
    return seal(part({"alg": "EdDSA", "kid": kid}), part(claims), alg="EdDSA", key=key)


GOOD = {kid: _token(key, kid) for kid, key in zip(SHOWN, POOL, strict=True)}


def _forge() -> dict[str, list[str]]:
    forged: dict[str, list[str]] = {}
    for kid, key in zip(SHOWN, POOL, strict=True):
        header, payload, tail = GOOD[kid].split(".")
        claims = part({"iss": ISSUER, "aud": AUDIENCE, "sub": "admin", "iat": NOW, "exp": NOW + 10**8})
        forged[kid] = [
            _token(WRONG, kid),
            _token(key, kid, exp=NOW - 10**6),
            _token(key, kid, aud="other"),
            _token(key, kid, iss=ISSUER[:-1]),
            _token(key, kid, nbf=NOW + 10**8),
            f"{header}.{claims}.{tail}",
            f"{part({'alg': 'none', 'kid': kid})}.{payload}.",
            f"{header}.{payload}.{b64(bytes(64))}",
            _token(key, "../" + kid),
        ]
    return forged


FORGED = _forge()


@dataclass
class Issuer:
    """What it publishes, and how it behaves now."""

    random: random.Random
    kids: list[str] = field(default_factory=lambda: ["k0"])
    mode: str = "up"
    max_age_s: float | None = None

    def change(self) -> None:
        """One thing that happens to an issuer."""
        what = self.random.choice(["rotate", "rotate", "withdraw", "up", "up", "down", "hang", "garbage", "age"])
        if what == "rotate":
            unused = [kid for kid in SHOWN if kid not in self.kids]
            self.kids += unused[:1]
        elif what == "withdraw" and self.kids:
            self.kids = self.kids[1:]
        elif what == "age":
            self.max_age_s = self.random.choice([None, 0.0, 60.0, 600.0, 86_400.0])
        elif what in {"up", "down", "hang", "garbage"}:
            self.mode = what


@dataclass(frozen=True)
class Reading:
    """A key set that one environment was given: when it asked, and how long it may keep it."""

    wall_s: float
    loop_s: float
    kids: frozenset[str]
    lasts_s: float


@dataclass
class Environment:
    """One execution environment: its clock, what it fetched, its gate."""

    issuer: Issuer
    clock: WallClock
    bundle: frozenset[str]
    readings: list[Reading] = field(default_factory=list)
    tries: list[float] = field(default_factory=list)
    is_failing: bool = False
    gate: Gate | None = None

    async def fetch(self, *, deadline: float) -> Published:
        """The port: it remembers what it told."""
        loop, wall_s = asyncio.get_running_loop(), self.clock.now_ms() / 1000
        asked, kids, mode = loop.time(), tuple(self.issuer.kids), self.issuer.mode
        max_age_s = self.issuer.max_age_s
        self.tries.append(asked)
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.sleep(60.0 if mode == "hang" else self.issuer.random.choice([0.02, 0.2, 2.5]))
        except TimeoutError as error:
            self.is_failing = True
            raise Retryable("deadline") from error
        if mode == "garbage":
            self.is_failing = True
            return Published(b'{"keys": "none"}')
        if mode != "up":
            self.is_failing = True
            raise Retryable("down")
        lasts_s = min(max(3_600.0 if max_age_s is None else max_age_s, 60.0), 86_400.0)
        self.is_failing = False
        self.readings.append(Reading(wall_s, asked, frozenset(kids), lasts_s))
        return Published(json.dumps({"keys": [SHOWN[kid] for kid in kids]}).encode(), max_age_s)

    def _last(self) -> Reading | None:
        """The latest reading that still counts."""
        if not self.readings:
            return None
        last = self.readings[-1]
        age_s = max(self.clock.now_ms() / 1000 - last.wall_s, asyncio.get_running_loop().time() - last.loop_s)
        return last if age_s < last.lasts_s + STALE_S else None

    def may_allow(self, kid: str) -> bool:
        """Published by the latest word that counts; without one, by the deployment, and never seen withdrawn."""
        last = self._last()
        if last is not None:
            return kid in last.kids
        return kid in self.bundle and all(kid in each.kids for each in self.readings)

    def may_refuse(self, kid: str) -> bool:
        """The issuer's latest word lacks the key, and it can be asked, or has said so a moment ago."""
        last = self._last()
        if last is None or kid in last.kids:
            return False
        return not self.is_failing or asyncio.get_running_loop().time() - last.loop_s <= PENALTY_S + 4.0


@dataclass
class Seen:
    """What came of one seed."""

    asked: int = 0
    allowed: int = 0
    in_outage: int = 0
    unavailable: int = 0
    violations: list[str] = field(default_factory=list)


def live(seed: int, make_cache: MakeCache | None = None, make_ring: Any = KeyRing) -> Seen:
    """Run one seed."""
    return run_virtual(
        lambda: _live(seed, make_cache or (lambda keys, stale_s: KeyCache(keys, stale_s=stale_s)), make_ring)
    )


async def _live(seed: int, make_cache: MakeCache, make_ring: Any) -> Seen:
    chance, seen = random.Random(seed), Seen()
    issuer = Issuer(chance)
    environments: list[Environment] = []
    for _step in range(24):
        if len(environments) < 3 and (not environments or chance.random() < 0.2):
            environments.append(_start(issuer, chance, make_cache, make_ring))
        await asyncio.sleep(chance.choice([0.5, 3.0, 11.0, 70.0, 700.0, 4_000.0, 30_000.0]))
        if chance.random() < 0.5:
            issuer.change()
        at = chance.choice(environments)
        if chance.random() < 0.1:
            at.clock.shift_s += chance.choice([-3_600.0, -5.0, 5.0, 7_200.0, 100_000.0])
        await _ask(at, chance, seen)
    return seen


def _start(issuer: Issuer, chance: random.Random, make_cache: MakeCache, make_ring: Any) -> Environment:
    clock = WallClock(LoopClock(asyncio.get_running_loop()))
    bundle = frozenset({"k0", "k1"}) if chance.random() < 0.6 else frozenset[str]()
    environment = Environment(issuer, clock, bundle)
    keys = read_keys({"keys": [SHOWN[kid] for kid in sorted(bundle)]}) if bundle else None
    ring = make_ring(
        ISSUER, make_cache(keys, STALE_S), source=environment, clock=clock, chance=Dice(chance.randrange(1 << 30))
    )
    environment.gate = Gate([Entrance(IssuerRules(ISSUER, frozenset({AUDIENCE})), ring)], clock=clock)
    return environment


async def _ask(at: Environment, chance: random.Random, seen: Seen) -> None:
    kids = [chance.choice(list(SHOWN)), *at.issuer.kids[-1:], *at.issuer.kids[:1]]
    for kid in kids:
        await _check(at, kid, GOOD[kid], seen)
    await _check(at, kids[0], chance.choice(FORGED[kids[0]]), seen)
    if chance.random() < 0.1:  # many at once, a freeze among them
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_check(at, kid, GOOD[kid], seen)) for kid in SHOWN]
            await asyncio.sleep(0.01)
            at.clock.shift_s += chance.choice([0.0, 50.0, 10_000.0])
        assert all(task.done() for task in tasks)


async def _check(at: Environment, kid: str, token: str, seen: Seen) -> None:
    assert at.gate is not None
    seen.asked += 1
    must = at.may_allow(kid) and at._last() is not None
    try:
        await at.gate.verify(token, deadline=asyncio.get_running_loop().time() + 4.5)
        verdict = "allowed"
    except InvalidToken as refused:
        verdict = refused.reason
    except KeysUnavailable:
        verdict = "unavailable"
    is_good = token == GOOD[kid]
    seen.allowed += verdict == "allowed"
    seen.unavailable += verdict == "unavailable"
    seen.in_outage += verdict == "allowed" and at.is_failing
    if verdict == "allowed" and not (is_good and at.may_allow(kid)):
        seen.violations.append(f"let in: {'a key that does not count' if is_good else 'a bad token'} ({kid})")
    elif is_good and verdict not in {"allowed", "unavailable"} and not at.may_refuse(kid):
        seen.violations.append(f"refused without knowing: {verdict} ({kid})")
    elif is_good and verdict != "allowed" and must and at.may_allow(kid) and at._last() is not None:
        seen.violations.append(f"a good token is not served: {verdict} ({kid})")
