"""No fault lets a bad token in, and no outage keeps a good one out: a thousand lives of an issuer, and broken twins."""

from __future__ import annotations

import pytest

from sluiceway.flows.authorize.key_ring import KeyRing, KeysUnavailable
from sluiceway.rules.tokens import KeySet
from sluiceway.rules.tokens.caching import KeyCache, Moment
from tests.sim.authorizer_world import live

SEEDS = 1_000
FEW = 400  # in which every broken twin is found, most within ten


@pytest.mark.parametrize("block", range(4))
def test_no_fault_lets_a_bad_token_in_and_no_outage_keeps_a_good_one_out(block: int):
    """Rotations, withdrawals, outages, hangs, garbage, freezes and clocks set on and back; the seed is told."""
    asked = outage = 0
    for seed in range(block * SEEDS // 4, (block + 1) * SEEDS // 4):
        seen = live(seed)
        assert (seed, seen.violations) == (seed, [])
        asked, outage = asked + seen.asked, outage + seen.in_outage
    assert asked > 20_000
    assert outage > 2_000  # good tokens that were served though the issuer could not be read


def test_a_seed_is_the_same_life_every_time():
    """What is found can be looked at again."""
    assert [live(seed) for seed in range(10)] == [live(seed) for seed in range(10)]


class Resurrecting(KeyCache):
    """Goes back to the deployment's keys, whatever the issuer has said since."""

    def learn(self, keys: KeySet, *, asked: Moment, max_age_s: float | None) -> None:
        bundle = self._bundle
        super().learn(keys, asked=asked, max_age_s=max_age_s)
        self._bundle = bundle


class Mixing(Resurrecting):
    """Takes the deployment's keys beside the issuer's."""

    def answer(self, key_id: str, now: Moment) -> KeySet | None:
        found = super().answer(key_id, now)
        return self._bundle if self._bundle.knows(key_id) else found


class Endless(KeyCache):
    """Old keys go on for ever in an outage."""

    def __init__(self, bundle: KeySet | None, *, stale_s: float) -> None:
        super().__init__(bundle, stale_s=stale_s + 10**9)


class Brittle(KeyCache):
    """Has no use for old keys."""

    def __init__(self, bundle: KeySet | None, *, stale_s: float) -> None:
        super().__init__(bundle, stale_s=stale_s * 0)


class Certain(KeyCache):
    """Calls a key unknown that it could not look for."""

    def answer(self, key_id: str, now: Moment) -> KeySet | None:
        return super().answer(key_id, now) or KeySet()


class OneClock(Moment):
    """Believes the loop's clock alone."""

    def since(self, earlier: Moment) -> float:
        return self.loop_s - earlier.loop_s


class Standing(KeyRing):
    """A ring whose clock stands while the environment is frozen."""

    def _now(self) -> Moment:
        return OneClock(*super()._now())


class Younger(KeyCache):
    """Counts the age from the answer, a freeze later."""

    def learn(self, keys: KeySet, *, asked: Moment, max_age_s: float | None) -> None:
        super().learn(
            keys, asked=asked._replace(wall_s=asked.wall_s + 3_600, loop_s=asked.loop_s + 3_600), max_age_s=max_age_s
        )


@pytest.mark.parametrize(
    ("twin", "ring", "told"),
    [
        (Resurrecting, KeyRing, "let in"),
        (Mixing, KeyRing, "let in"),
        (Endless, KeyRing, "let in"),
        (Younger, KeyRing, "let in"),
        (KeyCache, Standing, "let in"),
        (Brittle, KeyRing, "not served"),
        (Certain, KeyRing, "refused without knowing"),
    ],
)
def test_a_broken_twin_is_found(twin: type[KeyCache], ring: type[KeyRing], told: str):
    """Each breaks one promise; a simulation that did not see it would be void."""
    for seed in range(FEW):
        found = live(seed, lambda keys, stale_s: twin(keys, stale_s=stale_s), ring).violations
        if any(told in violation for violation in found):
            return
    pytest.fail(f"{FEW} lives, and nothing was seen")


def test_unavailable_is_an_error_that_can_be_tried_again():
    """And carries no key or token."""
    error = KeysUnavailable("https://issuer.example/")
    assert (str(error), error.after_s) == ("the keys of https://issuer.example/ cannot be read", 1.0)
