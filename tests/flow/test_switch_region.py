"""switch_region: what it does and what it refuses, in both Regions of a pair, over ports in memory on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.codec import switch
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.invocation import Invocation
from sluiceway.events.switch import StepRefused, SwitchOrder
from sluiceway.flows.switch import DRAIN_S, MARK_S, SwitchDesk, switch_region
from sluiceway.ports.failover import Drill
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.region_keys import item_key
from sluiceway.rules.terms import NOT_YET_MS, Doubt, Term
from tests.fakes import EPOCH_MS, unavailable
from tests.fakes_failover import FakeProber, MemoryDrillStore, MemoryMarkStore, RecordingGauge, Replicas
from tests.unit.region_setup import EAST, WEST, Regions, Terms, virtual

OTHER = {EAST: WEST, WEST: EAST}


class Pair:
    """The group `shop`, home in the east, with a desk in each Region. `status` is what each Region's health says."""

    def __init__(self) -> None:
        self.regions = Regions()
        self.status = {EAST: 200, WEST: 200}
        self.replicas = Replicas()
        self.gauges = {EAST: RecordingGauge(), WEST: RecordingGauge()}
        self.drills = {EAST: MemoryDrillStore(), WEST: MemoryDrillStore()}
        self.probers = {each: FakeProber(lambda each=each: self.status[OTHER[each]]) for each in (EAST, WEST)}
        self.desks = {each: self._desk(each) for each in (EAST, WEST)}

    def _desk(self, region: str) -> SwitchDesk:
        return SwitchDesk(
            terms=self.regions.terms,
            home=self.regions.home(region),
            doubts=self.regions.doubts,
            marks=MemoryMarkStore(self.replicas, region),
            prober=self.probers[region],
            drills=self.drills[region],
            gauge=self.gauges[region],
            clock=self.regions.clock,
            group="shop",
            region=region,
            other=OTHER[region],
        )

    async def order(self, at: str, action: Any, **members: Any) -> dict[str, Any]:
        call = Invocation("r", "switch_region", "arn", deadline=asyncio.get_running_loop().time() + 59.5)
        return dict(await switch_region(SwitchOrder(action, "o", **members), call, self.desks[at]))

    async def refused(self, at: str, action: Any = "raise", **members: Any) -> tuple[str, str]:
        """Why; the term is as it was before."""
        before = await self.term()
        with pytest.raises(Rejected) as caught:
            await self.order(at, action, **members)
        assert await self.term() == before
        return caught.value.reason, str(caught.value)

    async def term(self) -> Term:
        found = await self.regions.terms.get("shop")
        assert found is not None
        return found

    def told(self, at: str) -> tuple[float, float] | None:
        """What the Region's alarm sees last: whether it is home, and the epoch."""
        if not self.gauges[at].told:
            return None
        values, dimensions = self.gauges[at].told[-1]
        assert dimensions == {"Group": "shop"}
        return values["IsHome"], values["Epoch"]

    async def fail_over(self) -> None:
        """The east is lost, and the west is home."""
        self.status[EAST] = 0
        await self.order(WEST, "raise", to=WEST, approval="incident 7", ends=1)


# ------------------------------------------------------------ what each order does


@virtual
async def test_the_clock_publishes_and_changes_nothing() -> None:
    """Each Region tells its own alarm whether it is home; the same once more each minute."""
    pair = Pair()
    for at, is_home in ((EAST, 1), (WEST, 0)):
        told = await pair.order(at, "publish")
        assert told == {
            "group": "shop",
            "region": at,
            "home": EAST,
            "epoch": 1,
            "begins_ms": EPOCH_MS,
            "approval": "founding",
        }
        assert pair.gauges[at].told == [({"IsHome": is_home, "Epoch": 1}, {"Group": "shop"})]


@virtual
async def test_the_standby_takes_over_from_a_home_that_is_lost() -> None:
    """On an approval; the alarm hears of it in the same breath, and the lost Region when it reads the term again."""
    pair = Pair()
    pair.status[EAST] = 0
    told = await pair.order(WEST, "raise", to=WEST, approval="incident 7", ends=1)
    assert (told["home"], told["epoch"], told["approval"]) == (WEST, 2, "incident 7")
    assert pair.told(WEST) == (1, 2)
    await pair.order(EAST, "publish")
    assert pair.told(EAST) == (0, 2)


@virtual
async def test_a_drill_begins_and_ends_and_moves_nothing() -> None:
    """The Region says that it is unwell for so many minutes; the term stays, and is told as ever."""
    pair = Pair()
    told = await pair.order(EAST, "drill", minutes=10, approval="drill 1")
    assert told["drill_until_ms"] == EPOCH_MS + 600_000
    assert pair.drills[EAST].drill == Drill(EPOCH_MS + 600_000, "drill 1")
    assert (await pair.order(EAST, "drill", minutes=0, approval="over"))["drill_until_ms"] == EPOCH_MS
    assert pair.drills == {EAST: pair.drills[EAST], WEST: pair.drills[WEST]}
    assert pair.drills[WEST].drill is None
    assert (pair.told(EAST), (await pair.term()).epoch) == ((1, 1), 1)


@virtual
async def test_the_home_hands_over_to_a_region_that_is_well() -> None:
    """Asked of the home: marks have gone both ways, no key is parked, and then the other one is home."""
    pair = Pair()
    await pair.order(EAST, "raise", to=WEST, approval="exercise", ends=1)
    assert pair.told(EAST) == (0, 2)
    await pair.order(WEST, "publish")
    assert pair.told(WEST) == (1, 2)
    assert set(pair.replicas.items) == {(EAST, EAST), (EAST, WEST)}


@virtual
async def test_failback_is_a_hand_over_with_an_approval_of_its_own() -> None:
    """From the Region that took over, once the first one answers again."""
    pair = Pair()
    await pair.fail_over()
    assert await pair.refused(WEST, to=EAST, approval="back", ends=2) == (
        "not-ready",
        f"not handed over to {EAST}: other-is-unwell",
    )
    pair.status[EAST] = 200
    told = await pair.order(WEST, "raise", to=EAST, approval="back", ends=2)
    assert (told["home"], told["epoch"], told["approval"]) == (EAST, 3, "back")
    assert pair.told(WEST) == (0, 3)


@virtual
async def test_an_order_without_a_region_is_about_the_one_that_is_asked() -> None:
    """As a plan's step has it, which runs in the Region that is activated."""
    pair = Pair()
    told = await pair.order(WEST, "raise", approval="ARC Region switch, execution 5", force=True)
    assert (told["home"], pair.told(WEST)) == (WEST, (1, 2))


# ------------------------------------------------------------ looks


@virtual
async def test_a_look_tells_what_speaks_against_a_hand_over_and_changes_nothing() -> None:
    """From each Region, towards each, in words that stay."""
    pair = Pair()
    for at, to, against in (
        (EAST, EAST, ("already-home",)),
        (WEST, EAST, ("already-home",)),
        (WEST, WEST, ("home-is-well",)),
        (EAST, WEST, ()),
        (WEST, "", ("home-is-well",)),
    ):
        found = (await pair.order(at, "look", to=to))["readiness"]
        assert (at, to, found["against"]) == (at, to, against)
    assert found == {"against": ("home-is-well",), "status": 200, "replicated_ms": None, "parked": 0}
    pair.status[EAST] = 503
    assert (await pair.order(WEST, "look"))["readiness"]["against"] == ()
    assert (await pair.order(EAST, "look", to=WEST))["readiness"]["replicated_ms"] == 1000
    assert (await pair.term()).epoch == 1


@pytest.mark.parametrize("status", [0, 404, 500, 503])
def test_a_home_that_gives_no_healthy_answer_may_be_taken_over_from(status: int) -> None:
    """Silence, an error or a drill: it is a person who decides what that means."""

    async def go() -> None:
        pair = Pair()
        pair.status[EAST] = status
        assert (await pair.order(WEST, "look"))["readiness"] == {
            "against": (),
            "status": status,
            "replicated_ms": None,
            "parked": 0,
        }

    run_virtual(go)


@virtual
async def test_what_is_told_of_the_term_is_what_was_read_before_a_long_look() -> None:
    """While a look waits for marks somebody hands over: a reading from before that is never told after it."""
    pair = Pair()
    pair.replicas.cut.add((EAST, WEST))
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(pair.order(EAST, "look", to=WEST))
        await asyncio.sleep(1)
        await pair.order(EAST, "raise", to=WEST, approval="x", force=True)
    assert looking.result()["epoch"] == 1  # what the readiness is about
    assert [values["IsHome"] for values, _ in pair.gauges[EAST].told] == [1, 0]


@virtual
async def test_what_is_told_has_the_date_at_which_it_was_asked_for() -> None:
    """An environment that is frozen between reading and telling tells of a minute that is over."""
    pair = Pair()
    pair.status[EAST] = 0
    pair.regions.terms.read_s = 40.0
    await asyncio.sleep(7)
    await pair.order(WEST, "publish")
    assert pair.gauges[WEST].dates == [EPOCH_MS + 7_000]
    await pair.order(WEST, "raise", to=WEST, approval="x", ends=1)
    assert pair.gauges[WEST].dates[-1] == EPOCH_MS + 87_000  # the term was read, and then made


# ------------------------------------------------------------ refusals


@virtual
async def test_a_home_that_is_well_is_not_taken_over_from() -> None:
    """It is that one's to hand over, with nothing under way; a person may say that it is to happen all the same."""
    pair = Pair()
    assert await pair.refused(WEST, to=WEST, approval="x") == ("not-ready", f"not handed over to {WEST}: home-is-well")
    assert pair.told(WEST) is None
    assert (await pair.order(WEST, "raise", to=WEST, approval="x", force=True))["home"] == WEST


@pytest.mark.parametrize("status", [0, 500, 503])
def test_nothing_is_handed_over_to_a_region_that_is_unwell(status: int) -> None:
    """Nor are marks sent there, which would only cost time."""

    async def go() -> None:
        pair = Pair()
        pair.status[WEST] = status
        reason, message = await pair.refused(EAST, to=WEST, approval="x")
        assert (reason, message) == ("not-ready", f"not handed over to {WEST}: other-is-unwell")
        assert pair.replicas.items == {}

    run_virtual(go)


@pytest.mark.parametrize("way", [(EAST, WEST), (WEST, EAST)])
@pytest.mark.parametrize("trouble", ["cut", "slow", "away"])
def test_a_mark_that_does_not_arrive_speaks_against_a_hand_over(way: tuple[str, str], trouble: str) -> None:
    """Either way: what was written here must be there, and what will be written there must come back."""

    async def go() -> None:
        pair = Pair()
        if trouble == "cut":
            pair.replicas.cut.add(way)
        elif trouble == "slow":
            pair.replicas.lag_s = MARK_S + 1
        else:
            pair.replicas.away.add(way[1])
        reason, message = await pair.refused(EAST, to=WEST, approval="x")
        assert (reason, message) == ("not-ready", f"not handed over to {WEST}: replication-lags")
        assert asyncio.get_running_loop().time() <= MARK_S + 0.001

    run_virtual(go)


@pytest.mark.parametrize("way", [(EAST, WEST), (WEST, EAST)])
def test_the_slower_way_is_what_replication_takes(way: tuple[str, str]) -> None:
    """Both are waited for at once."""

    async def go() -> None:
        pair = Pair()
        pair.replicas.slow[way] = 6.0
        assert (await pair.order(EAST, "look", to=WEST))["readiness"]["replicated_ms"] == 6_000
        assert asyncio.get_running_loop().time() == 6.0

    run_virtual(go)


@virtual
async def test_a_mark_of_another_look_that_is_later_counts_as_well() -> None:
    """Two people look at once, and write over one another's marks: neither is told that replication lags."""
    pair = Pair()
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(pair.order(EAST, "look", to=WEST))]
        await asyncio.sleep(0.4)
        looks.append(group.create_task(pair.order(EAST, "look", to=WEST)))
    assert [look.result()["readiness"]["against"] for look in looks] == [(), ()]


async def park(pair: Pair, key: str = "orders#1") -> None:
    """The west took over while it could not ask the east about a key that the east perhaps began."""
    doubt = Doubt(key, "parked", 1, EAST, WEST, EPOCH_MS, EPOCH_MS // 1000 + 900_000)
    await pair.regions.doubts.note(doubt)


@virtual
async def test_keys_that_are_parked_speak_against_a_hand_over_until_a_drain_frees_them() -> None:
    """The look asks about them: a Region that answers again has an end to tell, or frees the key."""
    pair = Pair()
    await pair.fail_over()
    await park(pair)
    pair.status[EAST] = 200
    pair.regions.links[EAST].refusal = unavailable("GetItem")
    assert await pair.refused(WEST, to=EAST, approval="x") == ("not-ready", f"not handed over to {EAST}: keys-parked")
    look = (await pair.order(WEST, "look", to=EAST))["readiness"]
    assert (look["against"], look["parked"]) == (("keys-parked",), 1)
    pair.regions.links[EAST].refusal = None
    assert (await pair.order(WEST, "raise", to=EAST, approval="x"))["home"] == EAST
    assert (await pair.regions.doubts.page(WEST)).doubts == ()


@virtual
async def test_keys_that_were_begun_and_never_ended_do_not_hold_up_a_hand_over() -> None:
    """They are a person's to settle, and no drain frees them."""
    pair = Pair()
    await pair.fail_over()
    await park(pair)
    pair.status[EAST] = 200
    begun = IdempotencyRecord(
        item_key("orders#1", 1), Owner("o", EAST, 1), EPOCH_MS // 1000 + 900_000, lease_until_ms=EPOCH_MS + 1
    )
    await pair.regions.tables[EAST].store.claim(begun, now_ms=EPOCH_MS, rerun=False)
    assert (await pair.order(WEST, "look", to=EAST))["readiness"]["against"] == ()
    assert [doubt.why for doubt in (await pair.regions.doubts.page(WEST)).doubts] == ["fenced"]


@virtual
async def test_more_doubts_than_can_be_asked_about_are_said_to_be_left() -> None:
    """The function has a minute: an order that would take longer is refused in time, and the next one goes on."""
    pair = Pair()
    await pair.fail_over()
    pair.status[EAST] = 200
    for number in range(400):
        await park(pair, f"orders#{number}")
    pair.regions.links[EAST].latency_s = 0.2
    began = asyncio.get_running_loop().time()
    assert await pair.refused(WEST, to=EAST, approval="x") == (
        "not-ready",
        f"not handed over to {EAST}: drain-unfinished",
    )
    assert asyncio.get_running_loop().time() - began < DRAIN_S + MARK_S + 4
    left = len((await pair.regions.doubts.page(WEST)).doubts)
    assert left < 400
    for _ in range(3):
        if "drain-unfinished" not in (await pair.order(WEST, "look", to=EAST))["readiness"]["against"]:
            break
    assert (await pair.order(WEST, "raise", to=EAST, approval="x"))["home"] == EAST


@pytest.mark.parametrize("force", [False, True])
def test_a_region_that_is_none_of_the_group_is_never_home(force: bool) -> None:
    """Whatever else is said; nor is it looked at."""

    async def go() -> None:
        pair = Pair()
        for at in (EAST, WEST):
            assert (await pair.refused(at, to="eu-west-1", approval="x", force=force))[0] == "not-here"
            assert (await pair.refused(at, "look", to="eu-west-1"))[0] == "not-here"
            assert pair.probers[at].asked == []

    run_virtual(go)


@virtual
async def test_a_home_elsewhere_is_not_handed_over_from_here() -> None:
    """A term of a third Region, from before it left the group: who takes over is asked in its own Region."""
    pair = Pair()
    term = await pair.term()
    pair.regions.terms._terms["shop"] = term._replace(region="eu-west-1")
    assert (await pair.refused(EAST, to=WEST, approval="x"))[0] == "not-here"
    assert (await pair.order(WEST, "raise", to=WEST, approval="x", force=True))["home"] == WEST


@virtual
async def test_the_home_is_not_raised_again() -> None:
    """Another approval for the Region that is home already changes nothing, forced or not, from either Region."""
    pair = Pair()
    for at in (EAST, WEST):
        for force in (False, True):
            assert (await pair.refused(at, to=EAST, approval="x", force=force))[0] == "already-home"


@virtual
async def test_an_approval_is_about_the_epoch_that_it_names() -> None:
    """One that comes late, after a failback, moves nothing and is told why at once, without a look."""
    pair = Pair()
    await pair.fail_over()
    pair.status[EAST] = 200
    await pair.order(WEST, "raise", to=EAST, approval="back", ends=2)
    pair.probers[WEST].asked.clear()
    for force in (False, True):
        assert await pair.refused(WEST, to=WEST, approval="incident 7", ends=1, force=force) == (
            "stale-approval",
            "the approval is about epoch 1",
        )
        assert (await pair.refused(WEST, to=WEST, approval="incident 8", ends=9, force=force))[0] == "stale-approval"
    assert pair.probers[WEST].asked == []


@virtual
async def test_an_approval_without_words_is_none() -> None:
    """Should one ever come by the codec: no term begins with it."""
    pair = Pair()
    pair.status[EAST] = 0
    assert (await pair.refused(WEST, to=WEST, approval=" "))[0] == "no-approval"


@virtual
async def test_a_plans_step_that_is_refused_fails_and_its_next_one_may_go_on() -> None:
    """A plan reads no answer: it goes by whether the invocation failed. Handing over insists, taking over does not."""
    pair = Pair()
    pair.status[WEST] = 503
    step: dict[str, Any] = {"approval": "ARC Region switch, execution 5", "of_plan": True}
    with pytest.raises(StepRefused) as caught:
        await pair.order(EAST, "raise", to=WEST, **step)
    assert (caught.value.reason, caught.value.field) == ("not-ready", "to")
    assert switch.refuse(caught.value) is None
    pair.status[WEST] = 200
    handed = await pair.order(EAST, "raise", to=WEST, **step)
    assert await pair.order(WEST, "raise", force=True, **step) == {**handed, "region": WEST}
    assert (await pair.term()).epoch == 2


@virtual
async def test_a_group_that_was_never_founded_is_a_deployment_to_mend() -> None:
    """Misconfigured names the setting; nothing is told to an alarm."""
    pair = Pair()
    pair.regions.terms._terms.clear()
    with pytest.raises(Misconfigured) as caught:
        await pair.order(WEST, "publish")
    assert (caught.value.what, pair.gauges[WEST].told) == ("REGION_GROUP", [])


@virtual
async def test_a_term_that_cannot_be_read_is_not_told() -> None:
    """The metric is missing then, and the health check of the traffic keeps its last known state."""
    pair = Pair()
    pair.regions.terms.is_away = True
    for action in ("publish", "look", "raise", "drill"):
        with pytest.raises(Retryable):
            await pair.order(WEST, action, to=WEST, approval="x")
    assert pair.gauges[WEST].told == []


# ------------------------------------------------------------ twice, lost, raced


@virtual
async def test_the_same_order_twice_moves_once() -> None:
    """The second is given the term that the first one made; so is one whose answer was lost."""
    pair = Pair()
    pair.status[EAST] = 0
    order: dict[str, Any] = {"to": WEST, "approval": "incident 7", "ends": 1}
    first = await pair.order(WEST, "raise", **order)
    for _ in range(2):
        assert await pair.order(WEST, "raise", **order) == first
        assert await pair.order(WEST, "raise", to=WEST, approval="incident 7") == first
    assert pair.told(WEST) == (1, 2)


class LosingTerms(Terms):
    """Breaks off at the write of that number: before it, or after it was made."""

    number = 0
    is_made = False

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        self.number -= 1
        if self.number == 0 and not self.is_made:
            raise unavailable("PutItem")
        done = await super().replace(term, seen=seen)
        if self.number == 0:
            raise unavailable("PutItem")
        return done


@pytest.mark.parametrize("ends", [0, 1])
@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_an_order_that_was_broken_off_is_gone_on_with(number: int, is_made: bool, ends: int) -> None:
    """Whichever of its two writes was lost, and whether it was stored: the same order again makes the Region home."""

    async def go() -> None:
        pair = Pair()
        pair.status[EAST] = 0
        terms = LosingTerms(await pair.term())
        pair.desks[WEST] = replace(pair.desks[WEST], terms=terms)
        pair.regions.terms = terms
        terms.number, terms.is_made = number, is_made
        order: dict[str, Any] = {"to": WEST, "approval": "incident 7", "ends": ends}
        with pytest.raises(Retryable):
            await pair.order(WEST, "raise", **order)
        told = await pair.order(WEST, "raise", **order)
        assert (told["home"], told["epoch"]) == (WEST, 2)
        assert EPOCH_MS < told["begins_ms"] < NOT_YET_MS
        assert pair.told(WEST) == (1, 2)

    run_virtual(go)


@virtual
async def test_a_broken_off_order_may_be_gone_on_with_by_another_approval() -> None:
    """Nobody can begin work meanwhile: whoever comes first finishes it, and the term names who did."""
    pair = Pair()
    pair.status[EAST] = 0
    terms = LosingTerms(await pair.term())
    pair.desks[WEST], pair.regions.terms = replace(pair.desks[WEST], terms=terms), terms
    terms.number = 2
    with pytest.raises(Retryable):
        await pair.order(WEST, "raise", to=WEST, approval="incident 7", ends=1)
    told = await pair.order(WEST, "raise", to=WEST, approval="incident 8")
    assert (told["epoch"], told["approval"], told["begins_ms"] < NOT_YET_MS) == (2, "incident 8", True)


@virtual
async def test_an_order_that_races_a_heal_ends_the_term_that_it_looked_at_and_no_other() -> None:
    """It waits for a probe while somebody fails over and back: its look was about an epoch that is gone."""
    pair = Pair()
    pair.status[EAST] = 0
    pair.probers[WEST].takes_s = 3.0
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(_why(pair.order(WEST, "raise", to=WEST, approval="slow")))
        await asyncio.sleep(1)
        await pair.order(WEST, "raise", to=WEST, approval="fast", force=True)
        await pair.order(WEST, "raise", to=EAST, approval="back", force=True)
    assert slow.result() == "stale-approval"
    after = await pair.term()
    assert (after.region, after.epoch, after.approval) == (EAST, 3, "back")


async def _why(order: Coroutine[Any, Any, Any]) -> str:
    try:
        await order
    except Rejected as error:
        return error.reason
    return "done"


@virtual
async def test_a_home_that_comes_back_while_it_is_looked_at_keeps_its_home() -> None:
    """The approval was for a loss: the probe that is under way finds it well."""
    pair = Pair()
    pair.status[EAST] = 0
    pair.probers[WEST].takes_s = 3.0
    async with asyncio.TaskGroup() as group:
        taking_over = group.create_task(pair.refused(WEST, to=WEST, approval="x", ends=1))
        await asyncio.sleep(2)
        pair.status[EAST] = 200
    assert taking_over.result()[0] == "not-ready"


@virtual
async def test_two_approvals_at_once_move_once() -> None:
    """By two people, for the same loss: one term begins, and the other is told to ask again."""
    pair = Pair()
    pair.status[EAST] = 0
    pair.regions.terms.write_s = pair.regions.terms.read_s = 0.5
    outcomes: list[str] = []

    async def approve(name: str) -> None:
        try:
            await pair.order(WEST, "raise", to=WEST, approval=name, ends=1)
            outcomes.append("moved")
        except (Rejected, Retryable) as error:
            outcomes.append(type(error).__name__)

    async with asyncio.TaskGroup() as group:
        for name in ("ann", "bob"):
            group.create_task(approve(name))
    assert sorted(outcomes) == ["Retryable", "moved"]
    assert ((await pair.term()).epoch, (await pair.term()).region) == (2, WEST)


# ------------------------------------------------------------ properties

WHERE = st.sampled_from(["", EAST, WEST, "eu-west-1"])
ORDERS = st.tuples(
    st.sampled_from([EAST, WEST]),
    st.one_of(
        st.just({"action": "publish"}),
        st.fixed_dictionaries({"action": st.just("look"), "to": WHERE}),
        st.fixed_dictionaries(
            {
                "action": st.just("raise"),
                "to": WHERE,
                "approval": st.sampled_from(["ann", "bob", ""]),
                "ends": st.integers(0, 4),
                "force": st.booleans(),
            }
        ),
        st.fixed_dictionaries({"action": st.just("drill"), "minutes": st.integers(0, 5), "approval": st.just("d")}),
    ),
    st.sampled_from([200, 0, 503]),
)


@given(st.lists(ORDERS, max_size=8))
def test_no_term_changes_without_an_approval_and_what_is_told_is_the_term(orders: list[Any]) -> None:
    """Whatever is ordered where and however the Regions are: only a `raise` with words moves, and the alarm sees it."""

    async def go() -> None:
        pair = Pair()
        for at, members, status in orders:
            before = await pair.term()
            pair.status[OTHER[at]] = status
            pair.gauges[at].told.clear()
            try:
                await pair.order(at, **members)
            except Rejected:
                assert await pair.term() == before
                assert pair.told(at) in {None, (int(before.region == at), before.epoch)}
                continue
            after = await pair.term()
            assert pair.told(at) == (int(after.region == at), after.epoch)
            if after != before:
                assert members["action"] == "raise"
                assert after.approval == members["approval"] != ""
                assert (after.epoch, after.region) == (before.epoch + 1, members["to"] or at)
                assert members["ends"] in {0, before.epoch}
            await asyncio.sleep(60)

    run_virtual(go)
