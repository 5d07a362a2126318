"""Records that take long to judge: who misses them is told, everyone has the rest, and the invocation ends in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.flows.channels import ChannelDesk, TopicChannel, publish_records
from sluiceway.ports.channels import Publication
from sluiceway.rules import subscriptions
from sluiceway.rules.access import NOBODY, AccessRules
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.subscriptions import Filter, SubscriptionSet
from sluiceway.rules.views import TopicView
from sluiceway.steps.metrics import _gathered, _gathered_of
from tests.fakes import FixedChance
from tests.flow.test_broadcast import World, record

LIKE_ALL = '{"order":[{"exists":true}]}'


def play(
    monkeypatch: pytest.MonkeyPatch, seconds: Callable[[Any, tuple[str, ...]], float], *batches: Sequence[int]
) -> tuple[World, dict[str, float]]:
    """A world whose subscribers `a` to `d` want other columns each, and what became of its posts by reason.

    `seconds(order, columns)` says how long it takes to cut the columns out of an order's record.
    """
    world, posts = World(), dict[str, float]()
    show = subscriptions._show

    async def run() -> None:
        loop = asyncio.get_running_loop()
        spent, time = [0.0], loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + spent[0])

        def show_slowly(whole: Mapping[str, object], tree: Any) -> Mapping[str, object]:
            spent[0] += seconds(whole["order"], tuple(tree))
            return show(whole, tree)

        monkeypatch.setattr(subscriptions, "_show", show_slowly)
        for name, columns in (("a", ()), ("b", ("order",)), ("c", ("order", "total")), ("d", ("order", "who"))):
            await world.subscribe(name, LIKE_ALL if name == "c" else "", *columns)
        gathered: list[Any] = []
        token = _gathered_of.set(gathered)
        try:
            for batch in batches:
                began = loop.time()
                await world.bring(*(record(number) for number in batch), timeout_s=30.5)
                assert loop.time() - began <= 30
        finally:
            _gathered_of.reset(token)
        for each in gathered:
            for name, number in each.numbers.items():
                posts[name] = posts.get(name, 0) + number

    run_virtual(run)
    return world, posts


def had(world: World) -> dict[str, list[int]]:
    return {name: world.orders(name) for name in "abcd"}


def test_a_record_that_takes_too_long_is_a_gap_and_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose turn came in time have it; the others see the gap in their numbers, each counted once."""
    world, posts = play(monkeypatch, lambda order, _: 3.0 if order == 2 else 0.0, [1, 2, 3])
    assert had(world) == {"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 3], "d": [1, 3]}
    assert [world.numbers(name) for name in "abcd"] == [[1], [1], [1, 3], [1, 3]]
    assert posts == {"PostsDroppedUnjudged": 2}
    assert world.counted["MessagesDropped"] == 2


def test_a_pattern_is_not_judged_on_columns_that_there_was_no_time_to_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is absent of them may be what it asks for; it sees the gap, though its own columns were there."""
    world, _ = play(monkeypatch, lambda order, columns: 9.0 if order == 2 and "total" in columns else 0.0, [1, 2, 3])
    assert had(world) == {"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 3], "d": [1, 3]}


def test_many_that_take_long_take_nothing_from_those_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time is everyone's for certain."""
    slow = range(1, 40)
    world, posts = play(monkeypatch, lambda order, _: 0.1 if order in slow else 0.001, range(1, 81))
    assert all(set(range(40, 81)) <= set(orders) for orders in had(world).values())
    assert posts["PostsDroppedUnjudged"] >= 1


def test_the_last_record_of_a_batch_is_told_by_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would tell; and several in a row are one gap, counted as one."""
    world, posts = play(monkeypatch, lambda order, _: 4.0 if order in {2, 3} else 0.0, [1, 2, 3], [4])
    assert had(world) == {"a": [1, 2, 3, 4], "b": [1, 2, 4], "c": [1, 4], "d": [1, 4]}
    assert [(each["t"], each["n"]) for each in world.messages("d")] == [("records", 1), ("mark", 2), ("records", 3)]
    assert posts == {"PostsDroppedUnjudged": 3}


def test_what_was_found_out_in_time_is_not_written_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the call is for sending, whatever is still to be written."""
    world, posts = play(monkeypatch, lambda order, _: 9.0 if order in {2, 3} else 0.0, [1, 2, 3], [4])
    assert had(world) == {"a": [1, 2, 4], "b": [1, 4], "c": [1, 4], "d": [1, 4]}
    assert posts == {"PostsDroppedUnjudged": 4}


def test_where_nothing_could_be_cut_out_nothing_matches() -> None:
    """A pattern that asks for what is absent would match it."""
    wanted = Filter('{"total":[{"exists":false}]}', ("total",))
    held = SubscriptionSet([(wanted, "x")])
    left = iter([1.0])
    assert held.match({"total": 1}, left_s=lambda: next(left, 0.0)) == ([], [wanted])


def test_patterns_try_as_many_values_as_there_is_time_for() -> None:
    """An array that is tried in less than a moment is judged; with no time for it, those with a pattern miss it."""
    pattern = '{"lines":{"a":[1],"b":[2]}}'
    held = SubscriptionSet([(Filter(each), each) for each in ("", pattern)])
    event = {"lines": [*[{"a": 1, "b": 1}] * 500, {"a": 1, "b": 2}]}

    def judge(seconds: float) -> tuple[list[str], list[str]]:
        judged = held.match(event, left_s=lambda: seconds)
        shown = [each.pattern for view in judged.views for each in view.filters]
        return shown, [each.pattern for each in judged.unjudged]

    assert judge(1.0) == (["", pattern], [])
    assert judge(0.001) == ([""], [pattern])
    assert judge(0.0) == ([], ["", pattern])
    assert held.ambiguous == 0


MANY = dict.fromkeys(map(str, range(5_000)), "y")


@pytest.mark.parametrize(
    "event",
    [{"tags": {"a": ["y"] * 5_000 + ["x"]}}, {"tags": {"a": "x", **MANY}}, {"tags": [{"a": "x", **MANY}]}],
    ids=["an array", "an object", "an object of an array"],
)
def test_values_that_are_looked_at_take_their_time_as_well(event: Mapping[str, object]) -> None:
    """To find what a pattern asks for, before anything is tried."""
    held = SubscriptionSet([(Filter('{"tags":{"a":["x"]}}'), "x")])
    assert [len(each) for each in held.match(event, left_s=lambda: 1.0)] == [1, 0]
    assert [len(each) for each in held.match(event, left_s=lambda: 0.001)] == [0, 1]
    assert len(held.match({"tags": {"a": ["x"]}}, left_s=lambda: 0.001).views) == 1


class _Published:
    """A channel that keeps what is published to it."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def publish(self, _channel: str, events: Sequence[str], *, deadline: float | None = None) -> Publication:
        assert deadline is not None
        self.events += map(json.loads, events)
        return Publication()


def test_a_channel_counts_what_nobody_had_the_time_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an event that was not published; its listeners see the gap."""
    channel, counted = _Published(), list[tuple[str, float, str]]()
    of_topic = {"orders": TopicChannel(channel, "/records/live", NOBODY)}
    desk = ChannelDesk(
        of_topic, AccessRules({"orders": "public"}, "ACCESS"), Numbering(FixedChance().draw), FixedChance()
    )

    async def run() -> None:
        loop = asyncio.get_running_loop()
        spent, time, show = [0.0], loop.time, TopicView.show
        monkeypatch.setattr(loop, "time", lambda: time() + spent[0])

        def show_slowly(view: TopicView, whole: Mapping[str, Any]) -> Mapping[str, object] | None:
            spent[0] += 9.0 if whole["order"] == 2 else 0.0
            return show(view, whole)

        monkeypatch.setattr(TopicView, "show", show_slowly)
        token = _gathered.set(counted)
        try:
            records = [record(number) for number in (1, 2, 3)]
            assert await publish_records(records, "orders", desk=desk, deadline=30.0) == 0
        finally:
            _gathered.reset(token)

    run_virtual(run)
    assert [(event["n"], [each["d"]["order"] for each in event["d"]]) for event in channel.events] == [
        (1, [1]),
        (3, [3]),
    ]
    assert [(name, value) for name, value, _ in counted] == [("ChannelEventsPublished", 2), ("ChannelEventsFailed", 1)]
