"""Which records of a topic go to whom: filters on what is shown, each judged once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules import patterns
from sluiceway.rules import subscriptions as rule
from sluiceway.rules.access import AccessRules, Viewer
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.masking import MaskKey
from sluiceway.rules.subscribing import parse_subscribe, parse_unsubscribe
from sluiceway.rules.subscriptions import LIMITS, Filter, Lens, SubscriptionSet, project
from sluiceway.rules.topics import read_topics
from tests.unit.test_event_pattern_cost import pigeons

ORDER = {
    "id": 7,
    "customer": {"name": "Ann", "city": "Oslo"},
    "lines": [{"sku": "a", "price": 3}, {"sku": "b"}, 5],
    "note": None,
    "empty": {},
}


def shown(subscriptions: SubscriptionSet[str], record: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """What each holder is shown of a record."""
    return {
        holder: view.record
        for view in subscriptions.match(record).views
        for wanted in view.filters
        for holder in subscriptions.holders(wanted)
    }


def message(**members: Any) -> str:
    return json.dumps({"action": "subscribe", "req": "r1", "topic": "orders", **members})


def filter_of(**members: Any) -> Filter:
    return parse_subscribe(message(**members), {"orders"}).wanted


def refused(**members: Any) -> tuple[str, str | None]:
    with pytest.raises(Rejected) as caught:
        parse_subscribe(message(**members), {"orders"})
    assert caught.value.field is None or caught.value.field.partition(".")[0].partition("[")[0] in str(caught.value)
    return caught.value.reason, caught.value.field


# ---------------------------------------------------------------- projection


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((), ORDER),
        (("id",), {"id": 7}),
        (("customer.name", "id"), {"id": 7, "customer": {"name": "Ann"}}),
        (("lines.price",), {"lines": [{"price": 3}]}),
        (("lines",), {"lines": [{"sku": "a", "price": 3}, {"sku": "b"}, 5]}),
        (("note", "empty"), {"note": None, "empty": {}}),
        (("customer.name.first", "id.x", "nowhere"), {}),
        (("lines.nowhere", "id"), {"id": 7}),
    ],
)
def test_a_projection_has_the_columns_that_are_there(columns: tuple[str, ...], expected: Mapping[str, object]) -> None:
    """Dot paths, through arrays too; what is absent is left out, with what would be empty without it."""
    assert project(ORDER, columns) == expected


def test_a_member_whose_name_has_dots_is_no_column() -> None:
    """A column is names of members to the letter, so a pattern on it cannot see what is hidden under another name."""
    record = {"customer.name": "Eve", "customer": {"name": "Ann"}}
    assert project(record, ("customer.name",)) == {"customer": {"name": "Ann"}}
    held = SubscriptionSet([(filter_of(columns=["customer.name"], pattern={"customer": {"name": ["Eve"]}}), "c1")])
    assert shown(held, record) == {}
    assert shown(SubscriptionSet([(filter_of(pattern={"customer.name": ["Eve"]}), "c1")]), record) == {"c1": record}


def test_arrays_in_arrays_are_looked_into_to_a_bound() -> None:
    """A hundred deep; what lies deeper is not there, and no record exhausts the stack."""
    record: Any = {"x": 1}
    for _ in range(90):
        record = [record]
    assert project({"a": record}, ("a.x",)) == {"a": record}
    for _ in range(900):
        record = [record]
    assert project({"a": record}, ("a.x",)) == {}


# ---------------------------------------------------------------- matching


def test_each_holder_is_shown_its_columns_of_what_its_pattern_matches() -> None:
    """Two columns lists, two patterns, and one that takes everything."""
    held = SubscriptionSet(
        [
            (filter_of(), "all"),
            (filter_of(columns=["id"]), "ids"),
            (filter_of(columns=["id"], pattern={"id": [{"numeric": [">", 5]}]}), "large ids"),
            (filter_of(columns=["customer.city"], pattern={"customer": {"city": ["Rome"]}}), "rome"),
            (filter_of(columns=["customer"], pattern={"customer": {"city": ["Oslo"]}}), "oslo"),
        ]
    )
    assert shown(held, ORDER) == {
        "all": ORDER,
        "ids": {"id": 7},
        "large ids": {"id": 7},
        "oslo": {"customer": ORDER["customer"]},
    }
    assert shown(held, {"id": 1}) == {"all": {"id": 1}, "ids": {"id": 1}}


def test_what_connections_share_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand subscribers of ten filters with two lists of columns: one look into the index, two projections."""
    done = {"match": 0, "show": 0}
    match, show = PatternIndex.match, rule._show

    def count_match(index: PatternIndex[Any], event: Any, *, work: int) -> set[Any]:
        done["match"] += 1
        return match(index, event, work=work)

    def count_show(record: Any, tree: Any) -> Any:
        done["show"] += 1
        return show(record, tree)

    monkeypatch.setattr(PatternIndex, "match", count_match)
    monkeypatch.setattr(rule, "_show", count_show)
    held = SubscriptionSet(
        [
            (filter_of(columns=["id", "note"][: 1 + number % 2], pattern={"id": [number % 10]}), f"c{number}")
            for number in range(1000)
        ]
    )
    assert len(held) == 10
    assert [len(index) for index in held._indexes.values()] == [10]
    assert shown(held, ORDER).keys() == {f"c{number}" for number in range(7, 1000, 10)}
    assert done == {"match": 1, "show": 2}


def test_a_record_that_no_pattern_can_be_judged_on_goes_to_those_without_one() -> None:
    """Paths with and without dots, so many that it would be a puzzle: nobody waits for it to be solved."""
    pattern, puzzle = pigeons(9)
    with pytest.raises(Rejected, match="ways"):
        patterns.compile(pattern).matches(puzzle)
    held = SubscriptionSet([(filter_of(pattern=pattern), "judging"), (filter_of(), "all")])
    assert shown(held, puzzle) == {"all": puzzle}
    assert held.ambiguous == 1


class Blinkers:
    """A lens that shows some members."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def show(self, record: Mapping[str, object]) -> Mapping[str, object] | None:
        return {name: value for name, value in record.items() if name in self.names}


def test_what_one_view_cannot_judge_is_nothing_to_another() -> None:
    """Else a record would be missed for what it hides, and anybody's pattern could take it from all."""
    pattern, puzzle = pigeons(9)
    record = {**puzzle, "id": 7}
    views = {"few": Blinkers("id"), "all": Blinkers(*puzzle)}
    made = filter_of(pattern=pattern)._replace(view="all")
    held = SubscriptionSet([(made, "judging"), (filter_of(pattern={"id": [7]})._replace(view="few"), "few")], views)
    assert shown(held, record) == {"few": {"id": 7}}
    assert held.ambiguous == 1


def test_a_filter_of_another_version_matches_nothing_and_is_named() -> None:
    """What is stored was checked once; where this version knows better, the others go on."""
    bad = Filter('{"id":[{"sounds-like":"x"}]}')
    held = SubscriptionSet([(bad, "c1"), (Filter('{"id":[7]}'), "c2")])
    assert held.unusable == [bad]
    assert shown(held, ORDER) == {"c2": ORDER}


names = st.sampled_from(["a", "b", "c", "a.b"])
scalars = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y", ""]), st.none(), st.booleans())
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
records = st.dictionaries(names, values, max_size=4)
alternatives = st.one_of(
    st.integers(0, 3),
    st.sampled_from(["x", "", {"exists": True}, {"exists": False}, {"anything-but": "x"}, {"prefix": "x"}]),
    st.just({"numeric": [">", 1]}),
)
column_lists = st.lists(st.sampled_from(["a", "b", "a.b", "b.a", "c.a.b", "b.c"]), max_size=3)
leaves = st.lists(alternatives, min_size=1, max_size=2)
trees = st.recursive(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), leaves, min_size=1, max_size=2),
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "b", "c"]), leaves | inner, min_size=1, max_size=2)
        | st.lists(inner, min_size=2, max_size=2).map(lambda options: {"$or": options})
    ),
    max_leaves=4,
)


def wanted_of(columns: list[str], pattern: dict[str, Any] | None) -> Filter:
    """The filter; of a pattern that names fields outside of the columns, the one of all columns."""
    members: dict[str, Any] = {"pattern": pattern} if pattern else {}
    named = {field.path for way in patterns.compile(pattern).ways for field in way.fields} if pattern else set()
    outside = any(not f"{path}.".startswith(tuple(f"{column}." for column in columns)) for path in named)
    return filter_of(**members, **({"columns": columns} if columns and not outside else {}))


@given(st.lists(st.tuples(column_lists, st.none() | trees), max_size=6), records)
def test_together_they_get_what_each_would_get_alone(
    asked: list[tuple[list[str], dict[str, Any] | None]], record: dict[str, Any]
) -> None:
    """The set answers, subscription by subscription, what its pattern alone answers of its own projection."""
    subscribed = [(wanted_of(columns, pattern), f"c{at}") for at, (columns, pattern) in enumerate(asked)]
    expected = {
        holder: project(record, wanted.columns)
        for wanted, holder in subscribed
        if not wanted.pattern
        or patterns.compile(wanted.pattern, limits=LIMITS).matches(project(record, wanted.columns))
    }
    assert shown(SubscriptionSet(subscribed), record) == expected


# ---------------------------------------------------------------- what clients send


def test_a_filter_has_one_form() -> None:
    """Order, white space, repeated columns and columns below others do not tell filters apart."""
    one = parse_subscribe(
        '{"req": "r1", "topic": "orders", "columns": ["b.c", "a", "b", "a"], "pattern": {"b": {"x": [1.0]}, "a": [2]}}',
        ["orders"],
    )
    assert one == ("r1", "orders", Filter('{"a":[2],"b":{"x":[1.0]}}', ("a", "b")))
    assert filter_of(pattern={"a": [2], "b": {"x": [1.0]}}, columns=["b", "a"]) == one.wanted
    assert filter_of() == Filter("", ())


def test_a_pattern_whose_order_has_a_meaning_keeps_it() -> None:
    """A path that is written twice counts as it was written last."""
    pattern = {"a.b": [1], "a": {"b": [2]}}
    swapped = {"a": {"b": [2]}, "a.b": [1]}
    assert [patterns.compile(each).matches({"a": {"b": 1}}) for each in (pattern, swapped)] == [False, True]
    for each in (pattern, swapped):
        text = filter_of(pattern=each).pattern
        assert patterns.compile(text).matches({"a": {"b": 1}}) is patterns.compile(each).matches({"a": {"b": 1}})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"pattern": {"total": [{"numeric": [">", "x"]}]}}, ("invalid-pattern", "pattern.total")),
        ({"pattern": {"a": {"b": 3}}}, ("invalid-pattern", "pattern.a.b")),
        ({"pattern": {}}, ("invalid-pattern", "pattern")),
        ({"pattern": "x"}, ("invalid-pattern", "pattern")),
        ({"pattern": {"a": ["x" * 5000]}}, ("invalid-pattern", "pattern")),
        ({"pattern": {".".join("a" * 17): [1]}}, ("invalid-pattern", "pattern." + ".".join("a" * 17))),
        ({"pattern": {f"f{n}": [1] for n in range(65)}}, ("invalid-pattern", "pattern.f64")),
        ({"columns": ["id"], "pattern": {"secret": ["x"]}}, ("invalid-pattern", "pattern.secret")),
        ({"columns": ["a.b"], "pattern": {"a": [{"exists": False}]}}, ("invalid-pattern", "pattern.a")),
        ({"columns": ["ab"], "pattern": {"abc": ["x"]}}, ("invalid-pattern", "pattern.abc")),
        ({"columns": []}, ("invalid-body", "columns")),
        ({"columns": "id"}, ("invalid-body", "columns")),
        ({"columns": [f"c{n}" for n in range(33)]}, ("invalid-body", "columns")),
        ({"columns": ["id", 5]}, ("invalid-body", "columns[1]")),
        ({"columns": ["a..b"]}, ("invalid-body", "columns[0]")),
        ({"columns": ["x" * 257]}, ("invalid-body", "columns[0]")),
        ({"columns": [".".join("a" * 17)]}, ("invalid-body", "columns[0]")),
        ({"topic": "nothing"}, ("unknown-topic", "topic")),
        ({"topic": 5}, ("invalid-body", "topic")),
        ({"topic": "x" * 129}, ("invalid-body", "topic")),
        ({"req": "no spaces"}, ("invalid-body", "req")),
        ({"filter": {}}, ("invalid-body", None)),
        ({"pattern": {"a": ["x" * 40_000]}}, ("invalid-body", None)),
        ({"pattern": {"a": ["\ud800"]}}, ("invalid-body", None)),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], expected: tuple[str, str | None]) -> None:
    """Reason and field of each limit."""
    assert refused(**members) == expected


def test_a_pattern_below_a_column_may_be_asked() -> None:
    """A column shows all that lies below it."""
    assert filter_of(columns=["a"], pattern={"a": {"b": [1]}}) == Filter('{"a":{"b":[1]}}', ("a",))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("[]", "object"),
        ("x", "not JSON"),
        ("[" * 20_000, "not JSON"),
        ('{"req":"r1","topic":"orders","req":"r2"}', "name twice"),
        ('{"req":"r1","topic":"orders","pattern":{"a":[1],"a":[2]}}', "name twice"),
        ('{"req":"r1","topic":"orders","pattern":{"a":[1e400]}}', "no double"),
        ('{"req":"r1","topic":"orders","pattern":{"a":[0.10000000000000000001]}}', "no double"),
        ('{"req":"r1","topic":"orders","pattern":{"a":["\\ud800"]}}', "surrogate"),
        ('{"req":"r1","topic":"orders","pattern":{"a":[NaN]}}', "not JSON"),
    ],
)
def test_a_message_that_is_no_plain_object_is_refused(body: str, why: str) -> None:
    """Not JSON, a name twice, a number that no double holds, half a character, nested without end: each is told."""
    for parse in (parse_subscribe, parse_unsubscribe):
        with pytest.raises(Rejected, match=why) as caught:
            parse(body, ["orders"])
        assert caught.value.reason == "invalid-body"


def test_an_unsubscribe_names_its_topic() -> None:
    """It has req and topic, and nothing else."""
    body = json.dumps({"action": "unsubscribe", "req": "r1", "topic": "orders"})
    assert parse_unsubscribe(body, ["orders"]) == ("r1", "orders")
    for wrong in ({"topic": "x"}, {"pattern": {}}):
        with pytest.raises(Rejected):
            parse_unsubscribe(json.dumps({**json.loads(body), **wrong}), ["orders"])


def test_topics_have_a_stream_each() -> None:
    """The setting names topics with their streams; who reads a stream asks the other way round."""
    assert read_topics({"orders": "stack-Orders", "returns": "stack-Returns"}, "TOPICS") == {
        "stack-Orders": "orders",
        "stack-Returns": "returns",
    }
    wrong: list[dict[str, Any]] = [{}, {"a b": "s"}, {"a": 5}, {"a": "s", "b": "s"}, {"a": ""}]
    wrong.append({f"t{number}": f"s{number}" for number in range(101)})
    for declared in wrong:
        with pytest.raises(Misconfigured) as caught:
            read_topics(declared, "TOPICS")
        assert caught.value.what == "TOPICS"


# ---------------------------------------------------------------- through views

grants = st.fixed_dictionaries(
    {"allow": st.sampled_from([["g"], ["h"], "*"])},
    optional={
        "rows": st.sampled_from([{"a": [0]}, {"b": [{"exists": False}]}, {"a": {"b": ["x"]}}]),
        "columns": st.lists(st.sampled_from(["a", "b", "a.b"]), min_size=1, max_size=2),
        "masks": st.dictionaries(
            st.sampled_from(["a", "b.c"]), st.sampled_from(["hash", "redact", "drop"]), min_size=1
        ),
    },
)
viewers = st.sampled_from([Viewer(("g",)), Viewer(("h",)), Viewer(("g", "h")), Viewer()])


@given(
    st.lists(grants, min_size=1, max_size=3),
    st.lists(st.tuples(viewers, column_lists, st.none() | trees), max_size=6),
    records,
)
def test_each_gets_of_its_view_what_it_would_get_of_it_alone(
    statements: list[dict[str, Any]],
    asked: list[tuple[Viewer, list[str], dict[str, Any] | None]],
    record: dict[str, Any],
) -> None:
    """Whoever else looks, and through whatever: pattern and columns are judged on what this view shows, and a record
    that it does not show is nobody's match."""
    rules = AccessRules({"orders": statements}, "ACCESS", key=MaskKey("k1", bytes(32)))
    held: list[tuple[Filter, str]] = []
    lenses: dict[str, Lens] = {}
    expected: dict[str, Mapping[str, object]] = {}
    for number, (viewer, columns, pattern) in enumerate(asked):
        view = rules.view("orders", viewer)
        wanted = wanted_of(columns, pattern)
        if view is None:
            continue
        lenses[view.name] = view
        held.append((wanted._replace(view=view.name), f"c{number}"))
        seen = view.show(record)
        if seen is None:
            continue
        alone = project(seen, wanted.columns)
        if not wanted.pattern or patterns.compile(wanted.pattern).matches(alone):
            expected[f"c{number}"] = alone
    assert shown(SubscriptionSet(held, lenses), record) == expected


def test_a_view_that_is_not_there_shows_nothing() -> None:
    """Not the whole record for want of a lens."""
    held = SubscriptionSet([(Filter(view="gone"), "c1"), (Filter('{"x":[{"exists":false}]}', view="gone"), "c2")])
    assert shown(held, ORDER) == {}
