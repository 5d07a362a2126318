"""Session credentials: renewed ahead of expiry, once for all, and kept while they are good."""

from __future__ import annotations

import asyncio

import pytest

from localcloud.clock import LoopClock, run_virtual
from sluiceway import log
from sluiceway.aws.session_credentials import SessionCredentials
from sluiceway.aws.sigv4 import Credentials
from sluiceway.aws.wire import Outside
from sluiceway.errors import Misconfigured, Retryable, ServiceUnavailable

HOUR_S = 3600.0
DOWN = ServiceUnavailable("no route", service="sts", operation="AssumeRole", code="ConnectFailed")
REFUSED = Misconfigured("the role cannot be assumed", what="role")


class Issuer:
    """Issues sessions of `lasts_s`, named by their number; `failing` is raised instead."""

    def __init__(self, *, takes_s=0.0, lasts_s=HOUR_S, chance=0.0):
        self.clock = LoopClock(asyncio.get_running_loop())
        self.takes_s, self.lasts_s = takes_s, lasts_s
        self.failing = None
        self.asked_at = []
        self.limits = []
        self._began = self.clock.time()
        self.session = SessionCredentials(self.issue, outside=Outside(now=self.clock.time, draw=lambda: chance))

    async def issue(self, deadline):
        self.asked_at.append(self.clock.time() - self._began)
        self.limits.append(deadline - asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        if self.failing is not None:
            raise self.failing
        return Credentials(f"KEY{len(self.asked_at)}", "s", "t", self.clock.time() + self.lasts_s)

    async def key(self):
        return (await self.session.get()).access_key


@pytest.fixture(autouse=True)
def lines(monkeypatch):
    """What is logged as a warning."""
    written = []
    monkeypatch.setattr(log, "warning", lambda event, **fields: written.append((event, fields)))
    return written


def test_a_renewal_serves_all_who_wait():
    """Fifty calls before there are credentials: STS is asked once."""

    async def main():
        issuer = Issuer(takes_s=1)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(issuer.key()) for _ in range(50)]
        return {call.result() for call in calls}, len(issuer.asked_at)

    assert run_virtual(main) == ({"KEY1"}, 1)


@pytest.mark.parametrize(
    ("lasts_s", "chance", "early_s"),
    [(HOUR_S, 0.0, 900.0), (HOUR_S, 1.0, 1080.0), (900.0, 0.0, 300.0), (900.0, 1.0, 360.0), (43_200.0, 0.5, 990.0)],
)
def test_renewal_begins_ahead_of_expiry_with_jitter(lasts_s, chance, early_s):
    """15 minutes ahead, or a third of a short session; up to a fifth of that earlier by chance."""

    async def main():
        issuer = Issuer(lasts_s=lasts_s, chance=chance)
        await issuer.key()
        await asyncio.sleep(lasts_s - early_s - 1)
        before = await issuer.key()
        await asyncio.sleep(1.001)
        return before, await issuer.key()

    assert run_virtual(main) == ("KEY1", "KEY2")


def test_others_go_on_while_one_renews_early():
    """Nobody but the one who renews waits, and that one for 5 s at most."""

    async def main():
        issuer = Issuer(takes_s=4)
        await issuer.key()
        await asyncio.sleep(HOUR_S - 14 * 60)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(issuer.key())
            await asyncio.sleep(1)
            others = await issuer.key()
        return others, renewing.result(), await issuer.key(), len(issuer.asked_at), issuer.limits

    assert run_virtual(main) == ("KEY1", "KEY2", "KEY2", 2, [30.0, 5.0])


def test_near_expiry_everybody_waits():
    """Ten minutes ahead all wait for the new ones, which are asked for once."""

    async def main():
        issuer = Issuer(takes_s=4)
        await issuer.key()
        await asyncio.sleep(HOUR_S - 9 * 60)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(issuer.key()) for _ in range(5)]
        return {call.result() for call in calls}, len(issuer.asked_at), issuer.limits[-1]

    assert run_virtual(main) == ({"KEY2"}, 2, 30.0)


@pytest.mark.parametrize(("left_s", "limit_s"), [(151, 5.0), (149, 30.0)])
def test_a_short_session_presses_in_its_last_sixth(left_s, limit_s):
    """Of 15 minutes that is two and a half: until then a renewal may take no more than 5 s."""

    async def main():
        issuer = Issuer(lasts_s=900.0)
        await issuer.key()
        await asyncio.sleep(900 - left_s)
        return await issuer.key(), issuer.limits[-1]

    assert run_virtual(main) == ("KEY2", limit_s)


@pytest.mark.parametrize("failure", [DOWN, REFUSED])
def test_old_credentials_are_used_to_their_end(failure, lines):
    """Nothing is raised while they are good; tries are 30 s apart; then it is what the last one raised."""

    async def main():
        issuer = Issuer()
        await issuer.key()
        issuer.failing = failure
        await asyncio.sleep(HOUR_S - 50)
        kept = []
        for _ in range(10):
            kept.append(await issuer.key())
            await asyncio.sleep(4.9)
        tries = [at - HOUR_S for at in issuer.asked_at[1:]]
        await asyncio.sleep(1)
        with pytest.raises(type(failure)) as caught:
            await issuer.key()
        issuer.failing = None
        return set(kept), tries, caught.value is failure, await issuer.key()

    kept, tries, same, after = run_virtual(main)
    assert (kept, same, after) == ({"KEY1"}, True, "KEY5")
    assert tries == pytest.approx([-50.0, -15.7])
    assert [(event, fields["error"]) for event, fields in lines] == [("credentials.kept", type(failure).__name__)] * 2


def test_a_first_failure_is_told():
    """With no credentials left there is nothing to go on with."""

    async def main():
        issuer = Issuer()
        issuer.failing = DOWN
        with pytest.raises(Retryable):
            await issuer.key()
        issuer.failing = None
        return await issuer.key()

    assert run_virtual(main) == "KEY2"


def test_credentials_that_a_service_calls_expired_are_not_used_again():
    """They are forgotten once: whoever comes late with the same complaint costs no renewal."""

    async def main():
        issuer = Issuer()
        refused = await issuer.session.get()
        issuer.session.forget(refused)
        second = await issuer.key()
        issuer.session.forget(refused)
        third = await issuer.key()
        issuer.session.forget(await issuer.session.get())
        issuer.failing = DOWN
        with pytest.raises(Retryable):
            await issuer.key()
        return second, third

    assert run_virtual(main) == ("KEY2", "KEY2")


def test_a_cancelled_renewal_leaves_the_next_to_renew():
    """Before there are credentials the one who waited asks; early, the others go on and it is tried 30 s later."""

    async def main():
        issuer = Issuer(takes_s=4)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(issuer.key())
            await asyncio.sleep(1)
            second = group.create_task(issuer.key())
            await asyncio.sleep(1)
            first.cancel()
        await asyncio.sleep(HOUR_S - 14 * 60)
        async with asyncio.TaskGroup() as group:
            early = group.create_task(issuer.key())
            await asyncio.sleep(1)
            early.cancel()
        others = await issuer.key()
        await asyncio.sleep(30)
        return second.result(), others, await issuer.key()

    assert run_virtual(main) == ("KEY2", "KEY2", "KEY4")


def test_a_clock_that_is_fast_does_not_ask_all_the_time():
    """Sessions that seem over already are used for 30 s."""

    async def main():
        issuer = Issuer(lasts_s=-7200.0)
        for _ in range(29):
            await issuer.key()
            await asyncio.sleep(1)
        once = len(issuer.asked_at)
        await asyncio.sleep(2)
        return once, await issuer.key()

    assert run_virtual(main) == (1, "KEY2")


def test_check_is_what_was_given():
    """Without one there is nothing to miss."""

    def check():
        raise REFUSED

    async def issue(_deadline):
        raise AssertionError

    SessionCredentials(issue, outside=Outside()).check()
    with pytest.raises(Misconfigured):
        SessionCredentials(issue, outside=Outside(), check=check).check()
