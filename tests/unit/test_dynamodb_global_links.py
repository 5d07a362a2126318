"""The links between Regions: lag, cuts, pauses, lanes, and what can be seen of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.regions.links import HOP, REPLICATION, Lag, Links, Route

OUT, BACK = Route("a", "b", "t"), Route("b", "a", "t")


def play(story: Callable[[Links, list[str]], Awaitable[None]], lag: Lag | None = None) -> None:
    """Run `story` on virtual time, with links of one second and a list that deliveries fill."""

    async def main() -> None:
        await story(Links(rng=Random(3), lag=lag or Lag(1.0)), [])

    run_virtual(main)


@given(seed=st.integers(0, 2**32), median_s=st.floats(0.001, 10), spread=st.floats(0, 3))
def test_lags_are_bounded_and_a_seed_gives_them_again(seed: int, median_s: float, spread: float) -> None:
    """Never negative, never above the bound, and the same for a seed."""
    lag = Lag(median_s, spread, most_s=5.0)
    drawn = [lag.draw(rng) for rng in [Random(seed)] for _ in range(20)]
    again = [lag.draw(rng) for rng in [Random(seed)] for _ in range(20)]
    assert drawn == again
    assert 0 <= min(drawn) <= max(drawn) <= 5.0


def test_the_usual_lags_are_a_few_hundred_and_a_few_dozen_milliseconds() -> None:
    """Half of the replication is done in 0.3 s and nearly all of it within a second."""
    rng = Random(1)
    drawn = sorted(REPLICATION.draw(rng) for _ in range(2000))
    assert 0.27 < drawn[1000] < 0.33
    assert drawn[1960] < 1.0
    assert max(HOP.draw(rng) for _ in range(2000)) < 0.1


def test_a_lane_that_is_held_keeps_its_latest_message_alone() -> None:
    """Whatever arrives at a cut first, the later message of a lane is delivered, once, with a lag of its own."""

    async def story(links: Links, got: list[str]) -> None:
        links.send(OUT, "x", lambda: got.append("x1"))  # in flight, and meets the cut
        await asyncio.sleep(0.5)
        links.cut("a", "b")
        links.send(OUT, "x", lambda: got.append("x2"))  # held at once, before x1 is
        links.send(OUT, "y", lambda: got.append("y1"))
        links.send(BACK, "x", lambda: got.append("back"))
        await asyncio.sleep(5)
        assert (got, links.pending("a", "b"), links.pending("b", "a")) == (["back"], 2, 0)
        assert (links.oldest_lag_s("a", "b"), links.is_quiet("t"), links.is_quiet("u")) == (5.5, False, True)
        assert links.directions() == [("a", "b")]
        links.heal("a", "b")
        await asyncio.sleep(0.9)
        assert got == ["back"]
        await asyncio.sleep(0.2)
        assert sorted(got) == ["back", "x2", "y1"]
        assert (links.is_quiet("t"), links.directions(), links.pending("a", "b")) == (True, [], 0)

    play(story)


def test_a_pause_is_of_one_channel_at_one_region() -> None:
    """Both directions of the channel are held there; other channels and other Regions pass."""

    async def story(links: Links, got: list[str]) -> None:
        links.pause("t", "b")
        for route in (OUT, BACK, Route("a", "c", "t"), Route("a", "b", "u")):
            links.send(route, "x", lambda route=route: got.append("".join(vars_of(route))))
        await asyncio.sleep(2)
        assert sorted(got) == ["abu", "act"]
        assert not await links.cross(OUT)
        links.resume("t", "b")
        assert await links.cross(OUT)
        await links.drained()
        assert sorted(got) == ["abt", "abu", "act", "bat"]

    play(story)


def vars_of(route: Route) -> tuple[str, str, str]:
    return route.source, route.target, route.channel


def test_what_crosses_is_lost_where_the_link_breaks_meanwhile() -> None:
    """A caller that waits for a message to cross is told at its end, in one direction alone."""

    async def story(links: Links, got: list[str]) -> None:
        async with asyncio.TaskGroup() as group:
            there, back = group.create_task(links.cross(OUT)), group.create_task(links.cross(BACK))
            await asyncio.sleep(0)
            links.cut("a", "b")
        assert (there.result(), back.result(), got) == (False, True, [])

    play(story)


def test_drained_waits_for_the_last_message_and_flush_for_none() -> None:
    """`drained` ends with the last delivery; `flush` delivers in order what is not blocked, and once."""

    async def story(links: Links, got: list[str]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: got.append(str(context)))
        await links.drained()
        links.send(OUT, "x", lambda: got.append("1"), lag=Lag(0.0))
        assert got == ["1"]
        links.send(OUT, "x", lambda: got.append("2"), lag=Lag(9.0))
        links.send(OUT, "y", lambda: got.append("3"))
        await links.drained()
        assert (got, asyncio.get_running_loop().time()) == (["1", "3", "2"], 9.0)
        links.send(OUT, "x", lambda: got.append("4"), lag=Lag(9.0))
        links.send(OUT, "y", lambda: got.append("5"))
        links.send(BACK, "y", lambda: got.append("never"))
        links.cut("b", "a")
        links.flush()
        assert got[3:] == ["4", "5"]
        await asyncio.sleep(20)
        assert (got[3:], links.pending("b", "a")) == (["4", "5"], 1)

    play(story)
