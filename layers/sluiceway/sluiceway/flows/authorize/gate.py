"""Verification against several issuers, with keys that may have to be read first. Must not know events or replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sluiceway.flows.authorize.key_ring import KeyRing
from sluiceway.ports import Clock
from sluiceway.rules.tokens.claims import Identity, IssuerRules
from sluiceway.rules.tokens.compact import read_token
from sluiceway.rules.tokens.refusals import InvalidToken
from sluiceway.rules.tokens.verifier import verify_with

__all__ = ["Entrance", "Gate"]


class Entrance(NamedTuple):
    """One issuer: what is asked of its tokens, and its keys."""

    rules: IssuerRules
    ring: KeyRing


class Gate:
    """Verifies tokens of the issuers that `entrances` have."""

    def __init__(self, entrances: Sequence[Entrance], *, clock: Clock) -> None:
        self._entrances: Mapping[str, Entrance] = {each.rules.issuer: each for each in entrances}
        self._clock = clock

    async def verify(self, token: str, *, deadline: float) -> Identity:
        """Whom `token` speaks for. `deadline` is on the event loop's clock.

        The `iss` claim chooses the keys before the signature is known to be right, and nothing else: it is looked up to
        the letter among the issuers that are trusted. Raises: InvalidToken, KeysUnavailable.
        """
        read = read_token(token)
        entrance = self._entrances.get(read.issuer)
        if entrance is None:
            raise InvalidToken("issuer" if "iss" in read.claims else "missing-claim")
        keys = await entrance.ring.keys_for(read.key_id, deadline=deadline)
        return verify_with(keys, read, entrance.rules, now_s=self._clock.now_ms() / 1000)
