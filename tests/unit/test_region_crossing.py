"""AWS requests between Regions: what the links let through, what is silent, and what was done although nobody hears."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from localcloud.clock import run_virtual
from localcloud.regions.crossing import SILENCE_S, Linked
from localcloud.regions.forward import FROM_HEADER
from localcloud.regions.links import Lag, Links
from localcloud.services.contract import NoAnswer, Permission, WireRequest, WireResponse

EAST, WEST = "us-east-1", "us-west-2"
HOP_S = 0.02
ASKED = WireRequest("dynamodb", WEST, "POST", "/", "", {}, b"{}", "key", "id")


class Asked:
    """A service that counts."""

    name = "dynamodb"

    def __init__(self) -> None:
        self.count = 0

    async def handle(self, request: WireRequest) -> WireResponse:
        del request
        self.count += 1
        return WireResponse(200, b"done")

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        return (Permission("dynamodb:GetItem", request.region),)


def links() -> Links:
    return Links(rng=Random(1), hop=Lag(HOP_S))


def of(source: str) -> WireRequest:
    """The request as the cloud of `source` passes it on, "" for a person's."""
    return replace(ASKED, headers={FROM_HEADER: source} if source else {})


@pytest.mark.parametrize(("source", "took_s"), [("", 0.0), (WEST, 0.0), (EAST, 2 * HOP_S)])
def test_another_region_is_a_hop_away_there_and_back(source: str, took_s: float) -> None:
    """A person and the Region itself wait for nothing."""

    async def ask() -> float:
        began = asyncio.get_running_loop().time()
        answer = await Linked(Asked(), links()).handle(of(source))
        assert answer.body == b"done"
        return asyncio.get_running_loop().time() - began

    assert run_virtual(ask) == pytest.approx(took_s)


@pytest.mark.parametrize("source", ["", WEST, EAST])
def test_a_dark_region_is_silent_and_does_nothing(source: str) -> None:
    """Whoever asks waits for a minute, and then has no answer."""

    async def ask() -> tuple[int, float]:
        between, service = links(), Asked()
        between.darken(WEST)
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer, match=WEST):
            await Linked(service, between).handle(of(source))
        return service.count, asyncio.get_running_loop().time() - began

    count, took_s = run_virtual(ask)
    assert count == 0
    assert SILENCE_S <= took_s <= SILENCE_S + 2 * HOP_S


@pytest.mark.parametrize(("cut", "count"), [((EAST, WEST), 0), ((WEST, EAST), 1)])
def test_a_cut_is_one_way(cut: tuple[str, str], count: int) -> None:
    """Cut on the way there nothing is done; on the way back it is done, and nobody hears of it."""

    async def ask() -> int:
        between, service = links(), Asked()
        between.cut(*cut)
        with pytest.raises(NoAnswer):
            await Linked(service, between).handle(of(EAST))
        assert (await Linked(service, between).handle(of(""))).status == 200  # a person is cut from nobody
        return service.count - 1

    assert run_virtual(ask) == count


def test_a_region_that_goes_dark_meanwhile_answers_nobody() -> None:
    """What it was asked before is done."""

    async def ask() -> int:
        between, service = links(), Asked()
        asyncio.get_running_loop().call_later(1.5 * HOP_S, between.darken, WEST)
        with pytest.raises(NoAnswer):
            await Linked(service, between).handle(of(EAST))
        return service.count

    assert run_virtual(ask) == 1


def test_light_undoes_darkness_and_no_cut() -> None:
    """Both are told, each for itself."""
    between = links()

    async def change() -> None:
        between.cut(EAST, WEST)
        between.darken(WEST)
        assert (between.dark, between.cuts) == ({WEST}, {(EAST, WEST)})
        between.light(WEST)
        assert (between.dark, between.cuts) == (set(), {(EAST, WEST)})
        with pytest.raises(NoAnswer):
            await Linked(Asked(), between).handle(of(EAST))
        between.heal_all()
        assert (await Linked(Asked(), between).handle(of(EAST))).status == 200

    run_virtual(change)


def test_needs_are_the_services_own() -> None:
    """IAM is asked as without links."""
    assert Linked(Asked(), links()).permissions(ASKED) == (Permission("dynamodb:GetItem", WEST),)
