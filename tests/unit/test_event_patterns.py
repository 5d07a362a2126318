"""The pattern language, held to a corpus: what matches, what does not, what is refused, and why.

`event_patterns.json` has the cases. Each runs as text, as bytes and decoded; one by one and in one index of all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluiceway.errors import Rejected
from sluiceway.rules import patterns
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.patterns import OPERATORS, PIPES, InvalidPattern, Limits

CORPUS: dict[str, Any] = json.loads((Path(__file__).parent / "event_patterns.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = CORPUS["cases"]
REFUSED = [(group["reason"], group["path"], each) for group in CORPUS["refused"] for each in group["patterns"]]


def text_of(value: Any) -> str:
    """A text in the corpus is JSON text; anything else is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def forms_of(value: Any) -> list[Any]:
    """The JSON text, its bytes, and the decoded JSON where that says the same."""
    text = text_of(value)
    return [text, text.encode()] if isinstance(value, str) else [text, text.encode(), value]


def test_the_corpus_is_large_enough() -> None:
    """At least 400 cases and 80 refused patterns, no fact twice, every operator used."""
    says = [case["says"] for case in CASES]
    assert len(set(says)) == len(says)
    assert sum(len(case["yes"]) + len(case["no"]) for case in CASES) >= 400
    assert len(REFUSED) >= 80
    assert {case["from"] for case in CASES} == {"docs", "ruler", "facts", "ours"}
    every = "".join(text_of(case["pattern"]) for case in CASES)
    assert [name for name in OPERATORS if not all(f'"{word}"' in every for word in name.split())] == []


@pytest.mark.parametrize("case", CASES, ids=[case["says"] for case in CASES])
def test_a_case_of_the_corpus(case: dict[str, Any]) -> None:
    """The events of `yes` match and those of `no` do not, in every form."""
    for form in forms_of(case["pattern"]):
        pattern = patterns.compile(form)
        for expected, events in ((True, case["yes"]), (False, case["no"])):
            assert [event for event in events for one in forms_of(event) if pattern.matches(one) is not expected] == []


def test_an_index_of_the_corpus_answers_as_its_patterns_do() -> None:
    """All patterns in one index, each event of all: the same answers, though fields and values are shared."""
    index = PatternIndex[str]()
    single = {case["says"]: patterns.compile(text_of(case["pattern"])) for case in CASES}
    for case in CASES:
        index.add(case["says"], text_of(case["pattern"]))
    assert len(index) == len(CASES)
    for case in CASES:
        for event in map(text_of, (*case["yes"], *case["no"])):
            assert index.match(event) == {says for says, pattern in single.items() if pattern.matches(event)}


@pytest.mark.parametrize(("reason", "path", "pattern"), REFUSED, ids=[text_of(each) for _, _, each in REFUSED])
def test_what_is_no_pattern_is_refused(reason: str, path: str, pattern: Any) -> None:
    """InvalidPattern names the path and the rule, in every form, and an index refuses the same."""
    index = PatternIndex[int]()
    for form in forms_of(pattern):
        with pytest.raises(InvalidPattern) as caught:
            patterns.compile(form)
        assert (caught.value.reason, caught.value.field) == (reason, path)
        assert str(caught.value) == f"{path or 'the pattern'}: {caught.value.rule}"
        with pytest.raises(InvalidPattern):
            index.add(1, form)
    assert len(index) == 0


@pytest.mark.parametrize("event", ["", "x", "[]", "1", "null", '{"a": NaN}', '{"a": 1', b"\xff", b'{"a": "\xff"}'])
def test_what_is_no_event_is_rejected(event: str | bytes) -> None:
    """An event is a JSON object in UTF-8; anything else is malformed."""
    pattern, index = patterns.compile({"a": [{"exists": False}]}), PatternIndex[int]()
    for call in (pattern.matches, index.match):
        with pytest.raises(Rejected) as caught:
            call(event)
        assert caught.value.reason == "malformed-event"


@pytest.mark.parametrize("event", [[], None, 5, [("a", 1)]])
def test_a_decoded_event_is_an_object(event: Any) -> None:
    """What Python hands over is held to the same."""
    with pytest.raises(Rejected):
        patterns.compile({"a": [1]}).matches(event)


def test_what_json_does_not_have_is_a_type_error_where_it_is_asked_for() -> None:
    """A date in a decoded event is the caller's mistake; at a path that nobody asks for it does not matter."""
    pattern = patterns.compile({"a": [1]})
    assert pattern.matches({"a": 1, "b": object()}) is True
    for event in ({"a": object()}, {"a": [object()]}, {"a": {1, 2}}):
        with pytest.raises(TypeError, match="no JSON value"):
            pattern.matches(event)
    for value in (object(), float("nan"), float("inf")):
        with pytest.raises(InvalidPattern):
            patterns.compile({"a": [value]})


def test_decoded_events_may_be_of_any_mapping_and_sequence_type() -> None:
    """Tuples are arrays, mappings are objects, subclasses of text and numbers are what they are."""

    class Text(str):
        __slots__ = ()

    class Object(dict[str, Any]):
        pass

    pattern = patterns.compile({"a": {"b": ["x"], "c": [1]}})
    assert pattern.matches(Object(a=Object(b=Text("x"), c=1.0)))
    assert pattern.matches({"a": (Object(b="y", c=1), {"b": ("x", "y"), "c": 1})})
    assert not pattern.matches({"a": ({"b": "x"}, {"c": 1})})
    assert patterns.compile({"a": ("x", {"anything-but": ("y", "z")})}).matches({"a": "x"})


def test_numbers_of_a_decoded_event_have_no_other_text_than_their_own() -> None:
    """2^53 + 1 as a Python integer is the literal of its digits; a float is its shortest decimal."""
    assert patterns.compile('{"a": [9007199254740993]}').matches({"a": 2**53 + 1})
    assert not patterns.compile('{"a": [9007199254740992]}').matches({"a": 2**53 + 1})
    assert patterns.compile({"a": [2**53 + 1]}).matches('{"a": 9007199254740993}')
    assert patterns.compile('{"a": [0.30000000000000004]}').matches({"a": 0.1 + 0.2})
    for odd in (float("nan"), float("inf"), 10**400, -(10**5000)):
        assert not patterns.compile({"a": [{"numeric": [">", 0]}, 1]}).matches({"a": odd})
        assert patterns.compile({"a": [{"exists": True}]}).matches({"a": odd})


def test_numbers_of_thousands_of_digits_are_texts() -> None:
    """Python reads no whole number of more than 4,300 digits; here it is a literal like any other."""
    digits = "1" * 5000
    pattern = patterns.compile(f'{{"a": [{digits}], "b": [0.5]}}')
    assert pattern.matches(f'{{"a": {digits}, "b": 5e-1}}')
    assert not pattern.matches(f'{{"a": {digits}2, "b": 0.5}}')
    assert not pattern.matches(f'{{"a": "{digits}", "b": 0.5}}')


# limits


def or_of(*sizes: int) -> dict[str, Any]:
    """An object with one `$or` inside another for each size."""
    fields: dict[str, Any] = {f"level{level}": {} for level in range(len(sizes))}
    for level, size in enumerate(sizes):
        fields[f"level{level}"] = {"$or": [{f"f{number}": [1]} for number in range(size)]}
    return fields


@pytest.mark.parametrize(
    ("sizes", "allowed"),
    [((1000,), True), ((1001,), False), ((10, 10, 10), True), ((10, 10, 11), False), ((2,) * 40, False)],
)
def test_or_allows_a_thousand_combinations(sizes: tuple[int, ...], allowed: bool) -> None:
    """EventBridge's limit, and it is found before the combinations are made."""
    if allowed:
        assert len(patterns.compile(or_of(*sizes)).ways) == 1000
        return
    with pytest.raises(InvalidPattern) as caught:
        patterns.compile(or_of(*sizes))
    assert caught.value.reason == "too-many-combinations"


def test_a_pattern_has_256_fields_at_most() -> None:
    """Of one combination; two combinations may have more between them."""
    many = {f"f{number}": [1] for number in range(256)}
    patterns.compile(many)
    patterns.compile({"$or": [many, {f"g{number}": [1] for number in range(256)}]})
    with pytest.raises(InvalidPattern) as caught:
        patterns.compile(many | {"more": [1]})
    assert (caught.value.reason, caught.value.field) == ("too-many-fields", "more")
    with pytest.raises(InvalidPattern):
        patterns.compile({"$or": [{"a": [1]}, {"b": [1]}]} | many)


def test_limits_are_options() -> None:
    """Each may be set for a pattern and for an index."""
    pattern = {"$or": [{"a": [1]}, {"b": [1]}, {"c": [1]}]}
    for limits in (Limits(combinations=2), Limits(fields=0)):
        with pytest.raises(InvalidPattern):
            patterns.compile(pattern, limits=limits)
        with pytest.raises(InvalidPattern):
            PatternIndex[int](limits=limits).add(1, pattern)
    wildcard = {"a": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}
    assert patterns.compile(wildcard, limits=Limits(wildcard_complexity=11)).matches({"a": "a:b:c:d:e:event-bus/x"})
    large = {"a": [{"numeric": ["<", 5_000_000_001]}]}
    patterns.compile(large)
    with pytest.raises(InvalidPattern) as caught:
        patterns.compile(large, limits=Limits(largest_number=5e9))
    assert caught.value.reason == "large-number"


@pytest.mark.parametrize(
    ("operator", "served"),
    [
        ({"wildcard": "*"}, False),
        ({"anything-but": {"prefix": "x"}}, False),
        ({"anything-but": {"suffix": "x"}}, False),
        ({"anything-but": {"equals-ignore-case": "x"}}, False),
        ({"anything-but": {"wildcard": "*x"}}, False),
        ({"anything-but": "x"}, True),
        ({"prefix": {"equals-ignore-case": "x"}}, True),
        ({"cidr": "10.0.0.0/8"}, True),
    ],
)
def test_pipes_lack_some_operators(operator: dict[str, Any], served: bool) -> None:
    """By the table of the EventBridge user guide; what is not served says so."""
    patterns.compile({"a": [operator]})
    if served:
        patterns.compile({"a": [operator]}, limits=PIPES)
        return
    with pytest.raises(InvalidPattern) as caught:
        patterns.compile({"a": [operator]}, limits=PIPES)
    assert caught.value.reason == "operator-not-served"


def nested(depth: int) -> dict[str, Any]:
    pattern: dict[str, Any] = {"a": [1]}
    for _ in range(depth):
        pattern = {"a": pattern}
    return pattern


def nested_or(depth: int) -> dict[str, Any]:
    pattern: dict[str, Any] = {"a": [1]}
    for _ in range(depth):
        pattern = {"$or": [{"b": [1]}, pattern]}
    return pattern


@pytest.mark.parametrize("make", [nested, nested_or])
def test_patterns_nest_a_hundred_names_deep(make: Any) -> None:
    """Deeper ones are refused, in every form, and nothing is exhausted."""
    patterns.compile(make(95))
    for depth in (105, 400):
        with pytest.raises(InvalidPattern) as caught:
            patterns.compile(make(depth))
        assert caught.value.reason == "too-deep"
    for text in ('{"a":' * 50_000, '{"a":' * 50_000 + "[1]" + "}" * 50_000, '{"a": [' + "[" * 50_000):
        with pytest.raises(InvalidPattern):
            patterns.compile(text)
    with pytest.raises(InvalidPattern):
        patterns.compile({".".join("a" * 100_000): [1]})


def in_arrays(depth: int, innermost: Any) -> Any:
    """`innermost` inside that many arrays."""
    for _ in range(depth):
        innermost = [innermost]
    return innermost


def test_arrays_are_looked_into_a_hundred_deep() -> None:
    """What lies deeper is not there, for a pattern and for an index, and nothing is exhausted."""
    pattern, absent, index = (
        patterns.compile({"a": [1]}),
        patterns.compile({"a": [{"exists": False}]}),
        PatternIndex[int](),
    )
    index.add(1, pattern)
    index.add(0, absent)
    for depth, seen in ((1, True), (101, True), (102, False), (5000, False)):
        event = {"a": in_arrays(depth, 1)}
        assert (pattern.matches(event), absent.matches(event)) == (seen, not seen)
        assert index.match(event) == {int(seen)}


@pytest.mark.parametrize("dotted", [False, True])
def test_so_are_objects_inside_arrays(dotted: bool) -> None:
    """Also where fields must be found together, where one is to be absent, and where two arrays lie in one place."""
    pattern = patterns.compile({"a": {"b": {"x": [1], "y": [1], "z": [{"exists": False}]}}})
    for depth, seen in ((1, True), (90, True), (5000, False)):
        deep = in_arrays(depth, {"x": 1, "y": 1})
        event: dict[str, Any] = {"a": {"b": [{"x": 2, "y": 2}, deep, {"z": in_arrays(depth, 1)}]}}
        if dotted:
            event["a.b"] = [{"x": 3}, {"y": 3}]
        assert pattern.matches(event) is seen


def test_events_may_nest_as_they_like_where_nobody_looks() -> None:
    """Objects are followed along the names of the pattern only."""
    nested_event: Any = {"a": 1}
    for _ in range(5000):
        nested_event = {"a": nested_event}
    pattern = patterns.compile({"a": [1]})
    assert pattern.matches({"a": 1, "b": in_arrays(5000, 1), "c": nested_event})
    assert not pattern.matches(nested_event)
    assert patterns.compile(nested(99)).matches(json.dumps(nested(99)))
