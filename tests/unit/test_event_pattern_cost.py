"""No pattern and no event makes matching expensive: four times the size is four times the work, for hostile ones too.

Work is counted in calls where Python does it, and measured in CPU time where one call does much (searches in texts);
quadratic work would be sixteen times as much.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from typing import Any

import pytest

from sluiceway.errors import Rejected
from sluiceway.rules import patterns
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.index.nodes import MAX_PLACES
from sluiceway.rules.patterns import InvalidPattern, Limits
from sluiceway.rules.patterns.paths import Found

FREE = Limits(wildcard_complexity=10**9)


def calls_of(function: Callable[[], object]) -> int:
    """How many functions it calls, Python's and C's."""
    count = 0

    def tally(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(tally)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def seconds_of(function: Callable[[], object]) -> float:
    """The least CPU time of several runs."""
    spent: list[float] = []
    for _ in range(5):
        begun = time.process_time()
        function()
        spent.append(time.process_time() - begun)
    return min(spent)


def objects(count: int, **members: Any) -> list[dict[str, Any]]:
    return [dict(members) for _ in range(count)]


def apart(count: int) -> list[dict[str, Any]]:
    """Elements that have one of two fields each, never both."""
    return objects(count, x=1, y=0) + objects(count, x=0, y=1)


X_AND_Y: dict[str, Any] = {"x": [1], "y": [1]}
ARRAYS: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "one array": ({"a": X_AND_Y}, lambda n: {"a": apart(n)}),
    "six arrays beside each other": (
        dict.fromkeys("abcdef", X_AND_Y),
        lambda n: {name: apart(n) for name in "abcde"} | {"f": apart(n)},
    ),
    "six arrays inside each other": (
        {"a": {"b": {"c": X_AND_Y}, "d": {"e": X_AND_Y}}},
        lambda n: {"a": [{"b": [{"c": apart(n)}], "d": [{"e": apart(n)}]} for _ in range(3)]},
    ),
    "values and absent fields in arrays of arrays": (
        {"a": ["s"], "a.x": [{"exists": False}], "a.y": [{"exists": False}, 1]},
        lambda n: {"a": [["s", [["s", *objects(n, x=1, y=2)], "t"]] for _ in range(3)]},
    ),
    "absent fields": (
        {"a": {"x": [1], **{f"y{i}": [{"exists": False}] for i in range(20)}, "z": [1]}},
        lambda n: {"a": objects(n, x=1, y19=1) + objects(n, z=1, x=2)},
    ),
    "many values of one path": ({"a": {"x": [{"anything-but": 1}], "y": [1]}}, lambda n: {"a": objects(n, x=1, y=1)}),
    "names with dots": ({"a": {"b": X_AND_Y}}, lambda n: {"a.b": apart(n), **{f"c.{i}": 1 for i in range(n)}}),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_cost_what_they_hold(name: str) -> None:
    """Where Event Ruler's walk tries every combination of elements, each is looked at a few times."""
    made, event = ARRAYS[name]
    pattern = patterns.compile(made)
    small, large = event(50), event(200)
    assert pattern.matches(small) is pattern.matches(large) is False
    assert calls_of(lambda: pattern.matches(large)) <= 5 * calls_of(lambda: pattern.matches(small))


def test_arrays_nested_a_hundred_deep_cost_no_more_than_their_depth_times_their_size() -> None:
    """Values at every depth, and absent fields that make each choice matter."""

    def nested(depth: int) -> dict[str, Any]:
        array: list[Any] = [{"x": 1}]
        for _ in range(depth):
            array = ["s", array]
        return {"a": array}

    pattern = patterns.compile({"a": ["s"], "a.x": [{"exists": False}]})
    assert calls_of(lambda: pattern.matches(nested(88))) <= 25 * calls_of(lambda: pattern.matches(nested(22)))


def pigeons(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields that lie in every one of the arrays of one place, an element for each; there is an array too few."""
    fields = {f"c{number}": [1] for number in range(count)}
    elements = [{name: 1} for name in fields]
    places = [{"a": {"b": {"c": {"d": elements}}}}, {"a": {"b": {"c.d": elements}}}, {"a": {"b.c": {"d": elements}}}]
    places += [{"a": {"b.c.d": elements}}, {"a.b": {"c": {"d": elements}}}, {"a.b": {"c.d": elements}}]
    places += [{"a.b.c": {"d": elements}}, {"a.b.c.d": elements}]

    def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        both = {name: merge(one[name], other[name]) for name in one.keys() & other.keys()}
        return one | other | both

    return {"a": {"b": {"c": {"d": fields}}}}, reduce(merge, places[: count - 1])


def test_an_event_that_says_paths_in_many_ways_is_given_up() -> None:
    """What to choose is satisfiability then: what is easy is found, after ten thousand tries the event is rejected."""
    made, event = pigeons(4)
    assert patterns.compile(made).matches(event) is False
    assert patterns.compile({"a.b.c.d.c0": [1], "a.b.c.d.c1": [1], "a.b.c.d.c2": [1]}).matches(event) is True
    made, event = pigeons(9)
    pattern, index = patterns.compile(made), PatternIndex[int]()
    index.add(1, made)
    for call in (pattern.matches, index.match):
        begun = time.process_time()
        with pytest.raises(Rejected) as caught:
            call(event)
        assert caught.value.reason == "ambiguous-event"
        assert time.process_time() - begun < 20  # seconds, on any machine


@pytest.mark.parametrize(
    "pattern",
    [
        {"b": {"c": ["x1"], "d": [2]}},
        {"b": {"c": [{"anything-but": ["z"]}], "d": [{"exists": False}]}},
        {"b.c": [{"wildcard": "*y*"}, {"suffix": "z"}]},
        {"b.c": [{"anything-but": {"prefix": [f"x{number}" for number in range(40)]}}]},
    ],
)
def test_an_event_of_long_arrays_is_given_up_after_so_much_work(
    monkeypatch: pytest.MonkeyPatch, pattern: dict[str, Any]
) -> None:
    """All patterns together: what one array costs one pattern, it costs each that cannot be told apart by an index."""
    monkeypatch.setattr(Found, "work_left", 10_000)
    event = {"b": [{"c": f"x{number}", "d": number} for number in range(200)]}
    index, alone = PatternIndex[int](), patterns.compile(pattern)
    for number in range(100):
        index.add(number, {**pattern, "a": [{"anything-but": [number]}]})
    event["a"] = "x"
    assert alone.matches(event) in {True, False}
    with pytest.raises(Rejected) as caught:
        index.match(event)
    assert caught.value.reason == "ambiguous-event"


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        ({"wildcard": "*a*a*a*a*a*a*b"}, "a"),
        ({"wildcard": "*ab*ab*ab*ac*"}, "ab"),
        ({"wildcard": "*" + "a" * 90 + "b*"}, "a"),
        ({"anything-but": {"wildcard": ["*a*a*a*", "*b*"]}}, "a"),
        ({"prefix": {"equals-ignore-case": "É" * 50}}, "é"),
        ({"equals-ignore-case": "É" * 50}, "é"),
        ({"suffix": "b" * 500}, "b"),
        ({"cidr": "::/0"}, ":"),
        ({"cidr": "0.0.0.0/0"}, "1."),
    ],
)
def test_texts_are_read_once(operator: dict[str, Any], text: str) -> None:
    """However many stars there are."""
    pattern = patterns.compile({"a": [operator]}, limits=FREE)
    small, large = {"a": text * 50_000}, {"a": text * 200_000}
    pattern.matches(large)
    assert seconds_of(lambda: pattern.matches(large)) <= 9 * seconds_of(lambda: pattern.matches(small)) + 0.002


@pytest.mark.parametrize("form", ["0.{ones}", "1e{ones}", "0.{zeros}1", "{ones}"])
def test_numbers_of_any_length_are_read_once(form: str) -> None:
    """Hundreds of thousands of digits, or an exponent of them."""
    pattern = patterns.compile({"a": [{"numeric": [">", 1]}]})

    def seconds(length: int) -> float:
        event = '{"a": %s}' % form.format(ones="1" * length, zeros="0" * length)  # noqa: UP031 - braces are JSON's
        return seconds_of(lambda: pattern.matches(event))

    assert seconds(200_000) <= 9 * seconds(50_000) + 0.002


def indexed(made: list[Any]) -> PatternIndex[int]:
    index = PatternIndex[int](limits=FREE)
    for number, pattern in enumerate(made):
        index.add(number, pattern)
    return index


def pairs(count: int) -> list[Any]:
    """Rules that a node for `p` divides by `q` again."""
    return [{"p": [i], "q": [j], "r": [0]} for i in range(count) for j in range(20)]


HOSTILE: dict[str, tuple[Callable[[int], list[Any]], Callable[[int], Any]]] = {
    "all match": (
        lambda n: [{"a": [{"exists": True}], "b": [{"anything-but": i}]} for i in range(n)],
        lambda _n: {"a": 1, "b": "x"},
    ),
    "none can be told apart": (lambda n: [{"a": [{"wildcard": f"*{i}*"}]} for i in range(n)], lambda _n: {"a": "xyz"}),
    "absent fields only": (lambda n: [{f"a{i}": [{"exists": False}]} for i in range(n)], lambda _n: {"a1": 1}),
    "prefixes of every length": (
        lambda n: [{"a": [{"prefix": "a" * i + "b"}]} for i in range(n)],
        lambda n: {"a": "a" * n},
    ),
    "suffixes of every length": (
        lambda n: [{"a": [{"suffix": "b" + "a" * i}]} for i in range(n)],
        lambda n: {"a": "a" * n},
    ),
    "ranges around each other": (
        lambda n: [{"a": [{"numeric": [">", -i - 1, "<", i + 1]}], "b": [i]} for i in range(n)],
        lambda _n: {"a": 0, "b": 0},
    ),
    "many values on both sides": (pairs, lambda n: {"p": list(range(n)), "q": list(range(n)), "r": 1}),
    "a path of its own for each": (
        lambda n: [{f"a{i}": [1], "b": [1]} for i in range(n)],
        lambda n: {f"a{i}": 0 for i in range(n)},
    ),
    "long lists": (
        lambda n: [{"a": list(range(i, i + 30)), "b": list(range(30))} for i in range(n)],
        lambda n: {"a": 3, "b": n + 40},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_index_never_costs_more_than_its_rules_one_by_one(name: str) -> None:
    """Four times the rules, and an event that grows with them where it can: four times the work at most."""
    rules, event = HOSTILE[name]
    small, large = indexed(rules(100)), indexed(rules(400))
    small_event, large_event = event(100), event(400)
    small_calls = calls_of(lambda: small.match(small_event))
    assert calls_of(lambda: large.match(large_event)) <= 5 * small_calls + 200


def test_selective_rules_cost_nothing_where_they_do_not_match() -> None:
    """A hundred times the rules, the same work."""

    def made(count: int) -> list[Any]:
        return [{"source": ["s"], "detail": {"id": [f"i-{number}"], "state": ["on", "off"]}} for number in range(count)]

    event = {"source": "s", "detail": {"id": "i-7", "state": "on", "more": list(range(50))}}
    few, many = indexed(made(50)), indexed(made(5000))
    assert few.match(event) == many.match(event) == {7}
    assert calls_of(lambda: many.match(event)) <= calls_of(lambda: few.match(event)) + 30


ONE_OPERATOR: dict[str, tuple[Callable[[int], Any], Any]] = {
    "prefix": (lambda n: {"prefix": f"{n:04}-x"}, "0017-xy"),
    "suffix": (lambda n: {"suffix": f"x-{n:04}"}, "yx-0017"),
    "equals-ignore-case": (lambda n: {"equals-ignore-case": f"N{n}"}, "n17"),
    "folded prefix": (lambda n: {"prefix": {"equals-ignore-case": f"N{n:04}"}}, "n0017"),
    "folded suffix": (lambda n: {"suffix": {"equals-ignore-case": f"{n:04}N"}}, "0017n"),
    "wildcard by its head": (lambda n: {"wildcard": f"tool-{n:04}/*.x"}, "tool-0017/a.x"),
    "wildcard by its tail": (lambda n: {"wildcard": f"t*-{n:04}"}, "to-0017"),
    "numeric": (lambda n: {"numeric": [">=", n * 10, "<", n * 10 + 10]}, 175),
    "cidr": (lambda n: {"cidr": f"10.{n >> 8}.{n & 255}.0/24"}, "10.0.17.9"),
    "address": (lambda n: f"2001:db8::{n:x}", "2001:0db8::0011"),
    "number": (lambda n: n, 17.0),
    "literal": (lambda n: 9007199254740993 + 2 * n, 9007199254740993 + 34),
}


@pytest.mark.parametrize("name", ONE_OPERATOR)
def test_each_telling_operator_is_looked_up(name: str) -> None:
    """Three thousand rules of one operator each and nothing else: the one that matches is found among few."""
    operator, value = ONE_OPERATOR[name]
    index = indexed([{"a": [operator(number)]} for number in range(3000)])
    assert index.match({"a": value}) == {17}
    assert calls_of(lambda: index.match({"a": value})) < 120


def test_entries_lie_in_few_places() -> None:
    """However long the lists of their fields are, and however often the nodes of one have divided."""
    index = indexed(
        [
            {name: [(i * step) % 97 for i in range(12)] for name, step in zip("abcd", (1, 5, 7, rule + 1), strict=True)}
            for rule in range(90)
        ]
    )
    assert max(len(entry.places) for entry in index._entries.values()) <= MAX_PLACES + 12
    assert len(index.match({"a": 0, "b": 0, "c": 0, "d": 0})) == 90


def test_the_same_pattern_many_times_is_tried_once() -> None:
    """Ten thousand subscribers of one topic are one entry."""
    index = PatternIndex[int]()
    for number in range(10_000):
        index.add(number, {"topic": ["t"], "price": [{"numeric": [">", 5]}]})
    assert len(index.match({"topic": "t", "price": 6})) == 10_000
    assert calls_of(lambda: index.match({"topic": "t", "price": 6})) < 60
    for number in range(9_999):
        index.remove(number)
    assert index.match({"topic": "t", "price": 6}) == {9_999}


def test_adding_and_removing_cost_the_same_in_a_large_index() -> None:
    """Whatever is there already: an index is never built again."""

    def turn_over(index: PatternIndex[int], number: int) -> None:
        index.add(-1, {"a": [{"prefix": f"x{number}"}], "b": [number], "c": [{"numeric": [">", number]}]})
        index.remove(-1)

    made = [{"a": [{"prefix": f"x{i}"}], "b": [i % 3], "c": [{"numeric": ["<", i]}]} for i in range(4000)]
    small, large = indexed(made[:100]), indexed(made)
    worst_small = max(calls_of(lambda n=number: turn_over(small, n)) for number in range(20))
    worst_large = max(calls_of(lambda n=number: turn_over(large, n)) for number in range(20))
    assert worst_large <= 2 * worst_small


def test_rules_with_the_same_long_list_are_built_in_their_size() -> None:
    """Each value's node fills up and divides: four times the values, four times the work."""

    def made(values: int) -> list[Any]:
        return [{"a": list(range(values)), "b": [rule, -rule]} for rule in range(1, 41)]

    assert seconds_of(lambda: indexed(made(2000))) <= 9 * seconds_of(lambda: indexed(made(500))) + 0.01


@pytest.mark.parametrize(
    "text",
    [
        "{" + ", ".join('"a": [1]' for _ in range(100_000)) + "}",
        '{"$or": ['
        + ", ".join('{"a": [1]}' for _ in range(1000))
        + "], "
        + ", ".join('"b": [1]' for _ in range(5000))
        + "}",
        '{"$or": [{"a": [1]}, {"b": [1]}], ' * 1
        + ", ".join('"$or": [{"a": [1]}, {"b": [1]}]' for _ in range(5000))
        + "}",
        '{"a": [' + ", ".join(f'{{"wildcard": "{"*a" * 50}"}}' for _ in range(1000)) + "]}",
        '{"a": [{"wildcard": "' + "a*" * 100_000 + '"}]}',
        '{"a": [{"wildcard": "*' + "a" * 200_000 + '*"}]}',
        '{"a": [' + ", ".join(f'{{"wildcard": "{"a" * i}*"}}' for i in range(600)) + "]}",
        '{"a": [' + ", ".join(f'"{i}"' for i in range(50_000)) + "]}",
    ],
    ids=["repeated", "combinations repeated", "or repeated", "stars", "many stars", "long piece", "heads", "long list"],
)
def test_a_hostile_pattern_is_compiled_or_refused_at_once(text: str) -> None:
    """A few hundred kilobytes that repeat what multiplies."""
    begun = time.process_time()
    with suppress(InvalidPattern):
        patterns.compile(text)
    assert time.process_time() - begun < 10  # seconds, on any machine; all take less than one


def test_a_pattern_that_repeats_its_paths_in_every_combination_is_refused() -> None:
    """As one with too many fields: it takes as long to read."""
    ways = ", ".join('{"a": [1]}' for _ in range(1000))
    repeated = ", ".join('"b": [1]' for _ in range(1000))
    with pytest.raises(InvalidPattern) as caught:
        patterns.compile(f'{{"$or": [{ways}], {repeated}}}')
    assert caught.value.reason == "too-many-fields"


def test_the_largest_patterns_are_matched_in_their_size() -> None:
    """A thousand combinations of two hundred fields: each field is tested once in each, at most."""
    many = {f"f{number}": [{"prefix": "x"}] for number in range(200)}
    pattern = patterns.compile(json.dumps(many | {"$or": [{"z": [number]} for number in range(1000)]}))
    event = {f"f{number}": "x" for number in range(200)} | {"z": 1001}
    assert pattern.matches(event) is False
    assert calls_of(lambda: pattern.matches(event)) <= 6 * 1000 * 201
