"""A reading of keys that goes on beside an answer outlives the invocation that began it, and nothing else does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.app import App
from sluiceway.codec import authorizer
from sluiceway.flows.authorize.gate import Entrance, Gate
from sluiceway.flows.authorize.key_ring import KeyRing
from sluiceway.flows.authorize.request import AuthorizerDesk, authorize_request
from sluiceway.ports.keys import Published
from sluiceway.rules.tokens import IssuerRules
from sluiceway.rules.tokens.caching import KeyCache
from tests.flow.test_authorize_kinds import rest
from tests.flow.test_authorize_request import Context
from tests.unit.gate_setup import Dice
from tests.unit.token_setup import AUDIENCE, CLAIMS, ISSUER, KEY, NOW, jwk, sign


class Slow:
    """A source that answers when it is let; `begun` and `ended` count its readings."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.let = asyncio.Event()

    async def fetch(self, *, deadline: float) -> Published:
        assert deadline > 0
        self.begun += 1
        await self.let.wait()
        self.ended += 1
        return Published(json.dumps({"keys": [jwk(KEY, "k1")]}).encode())


class Date:
    """A clock that is set."""

    now_s = float(NOW)

    def now_ms(self) -> int:
        return int(self.now_s * 1000)


def test_a_reading_beside_an_answer_ends_in_the_next_invocation(capsys: pytest.CaptureFixture[str]):
    """The App ends the tasks that an invocation leaves behind; this one is the ring's, and ends with the lifespan."""
    source, date = Slow(), Date()

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[AuthorizerDesk]:
        ring = KeyRing(ISSUER, KeyCache(None), source=source, clock=date, chance=Dice())
        yield AuthorizerDesk(Gate([Entrance(IssuerRules(ISSUER, frozenset({AUDIENCE})), ring)], clock=date))
        ring.close()

    app: App[Any, Any, Any] = App(authorize_request, source=authorizer, lifespan=lifespan)
    token = sign({**CLAIMS, "exp": NOW + 90_000})
    source.let.set()
    assert "policyDocument" in app(rest(token), Context())
    source.let.clear()
    date.now_s += 3_000  # past four fifths of the hour
    assert "policyDocument" in app(rest(token), Context())
    assert (source.begun, source.ended) == (2, 1)
    source.let.set()
    assert "policyDocument" in app(rest(token), Context())
    app.run(asyncio.sleep(0))
    assert (source.begun, source.ended) == (2, 2)
    app.close()
    assert "stray" not in capsys.readouterr().out
