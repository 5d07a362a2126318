"""JSONata as the reference implementation has it, and its bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.states.jsonata_engine import evaluate_all
from localcloud.services.states.jsonata_functions import MAX_RANGE
from localcloud.services.states.queries import FailedQuery, Query, QueryFailed
from localcloud.services.states.query_worker import answer

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "jsonata_cases.json").read_text())
NOW_MS = 1_800_000_000_000


def value_of(text: str, *, seed: int = 1, **variables: Any) -> Any:
    """What one expression gives."""
    return evaluate_all(Query([text], variables, seed, NOW_MS))[0]


def failure_of(text: str, **variables: Any) -> FailedQuery:
    """Why one expression gives nothing."""
    with pytest.raises(QueryFailed) as raised:
        value_of(text, **variables)
    return raised.value.failed


def outcome_of(text: str) -> list[Any]:
    """What an expression gives over the recorded input, as the recording says it."""
    try:
        return ["value", value_of(text, states={"input": RECORDED["input"]})]
    except QueryFailed as error:
        failed = error.failed
    if failed.undefined:
        return ["undefined"]
    return ["function"] if failed.unsupported else ["error", failed.reason.partition(":")[0]]


@pytest.mark.parametrize("part", range(10))
def test_expressions_give_what_the_reference_implementation_gives(part: int) -> None:
    """Every tenth of the recording: values, what is undefined, what is a function, and the codes of errors."""
    cases: list[list[Any]] = RECORDED["cases"][part::10]
    wrong = [(text, expected, found) for text, *expected in cases if (found := outcome_of(text)) != expected]
    assert wrong == []
    assert len(cases) > 50


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$partition([1,2,3,4,5], 2)", [[1, 2], [3, 4], [5]]),
        ("$partition([1,2,3], 2.9)", [[1, 2], [3]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$range(-1.7, 1, 1)", [-1, 0, 1]),
        ("$range(4, 4, 1)", 4),
        ("$hash('a', 'MD5')", "0cc175b9c0f1b6a831c399e269772661"),
        ("$hash('', 'SHA-1')", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("$length($hash('a', 'SHA-256'))", 64),
        ("$length($hash('a', 'SHA-384'))", 96),
        ("$length($hash('a', 'SHA-512'))", 128),
        ("$parse('{\"a\": [1, null]}')", {"a": [1, None]}),
        ("$parse('null')", None),
        ("$random(7) = $random(7)", True),
        ("$contains($uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4/)", True),
        ("$millis()", NOW_MS),
        ("$now()", "2027-01-15T08:00:00.000Z"),
        ("$contains('a\n', /a$/)", False),
        ("$match('ab', /(?<x>b)/).match", "b"),
        ("$contains('a$', /[$]/)", True),
        ("1/0", "Infinity"),
        ("[-1/0, 0/0]", ["-Infinity", "NaN"]),
        ("$count(null)", 1),
        ("$states.input.n", None),
        ("$states.input.big", 9_007_199_254_740_993),
    ],
)  # fmt: skip
def test_functions_of_step_functions(text: str, expected: Any) -> None:
    """What Step Functions adds to JSONata, and what it makes of numbers and null."""
    assert value_of(text, states={"input": {"n": None, "big": 9_007_199_254_740_993}}) == expected


@pytest.mark.parametrize(
    "text",
    ["$partition([], 2)", "$partition([1], 0)", "$partition([1])", "$range(1, 2)", "$range(1, 3, -1)",
     "$range(1, 3, 0)", "$hash('a')", "$parse($states.input.no)", "$states.input.no"],
)  # fmt: skip
def test_arguments_that_lead_to_nothing(text: str) -> None:
    """An empty list, no step, a step the wrong way, no algorithm: undefined and no error."""
    assert failure_of(text, states={"input": {}}) == FailedQuery(0, "", undefined=True)


def test_chance_is_the_seeds() -> None:
    """The same seed gives the same numbers, UUIDs and orders; another gives others."""
    text = "[$random(), $uuid(), $shuffle([1..20])]"
    assert value_of(text, seed=3) == value_of(text, seed=3)
    assert value_of(text, seed=3) != value_of(text, seed=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$eval('1')", "T1006: Attempted to invoke a non-function"),
        ("'a' + 1", 'T2001: The left side of the "+" operator must evaluate to a number'),
        ("$hash('a', 'md5')", "The algorithm of $hash must be one of MD5, SHA-1, SHA-256, SHA-384, SHA-512. Given md5"),
        ("$parse('{')", "The argument of $parse is no JSON: "),
        ("$states.input.a ?: 1", "Syntax error: "),
        ("($f := function($n){$n + $f($n)}; $f(1))", "Stack overflow error: "),
        ("1" + "+1" * 100, "Stack overflow error: "),
        ("$formatInteger(27, '%A')", "RuntimeError: "),
        ("[1..900000]", "Expression evaluation memory limit exceeded"),
        (f"$range(1, {MAX_RANGE + 1}, 1)", "Expression evaluation memory limit exceeded"),
        ("$pad('', 7000000)", "Expression evaluation memory limit exceeded"),
        ("($f := function($s, $n){$n = 0 ? $s : $f($s & $s, $n - 1)}; $f('a', 40))",
         "Expression evaluation memory limit exceeded"),
    ],
)  # fmt: skip
def test_what_ends_an_expression(text: str, words: str) -> None:
    """`$eval` is taken out, later operators too; depth and memory have AWS's bounds."""
    failed = failure_of(text)
    assert failed.reason.startswith(words), failed.reason
    assert not failed.undefined


def test_a_hundred_terms_are_not_too_many() -> None:
    """The bound of depth is where AWS has it."""
    assert value_of("1" + "+1" * 99) == 100


def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail call without an end never nests: only the clock ends it."""
    monkeypatch.setattr("localcloud.services.states.jsonata_engine.LIMIT_S", 0.02)
    failed = failure_of("($f := function($n){$f($n)}; $f(1))")
    assert failed.reason == "Expression evaluation timeout: Check for infinite loop"


def test_the_first_expression_that_fails_is_told() -> None:
    """By its number among all that are evaluated together."""
    with pytest.raises(QueryFailed) as raised:
        evaluate_all(Query(["1", "$x", "'a' + 1"], {"x": None}, 1, NOW_MS))
    assert raised.value.failed.number == 2


def test_the_worker_answers_as_the_engine_does() -> None:
    """Values, or which expression failed and why."""
    asked = {"texts": ["$x & 'é'"], "variables": {"x": 1}, "seed": 1, "now_ms": 0}
    assert answer(json.dumps(asked).encode()) == {"values": ["1é"]}
    told = answer(json.dumps({**asked, "texts": ["$y"]}).encode())
    assert told == {"number": 0, "reason": "", "undefined": True, "unsupported": False}


NUMBERS = st.integers(-(10**14), 10**14) | st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 6))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(JSON)
def test_data_goes_through_as_it_is(value: Any) -> None:
    """A variable gives its value, and as text and back it is the same: null, empty lists, any letters."""
    assert value_of("$x", x=value) == value
    assert value_of("$parse($string($x))" if not isinstance(value, str) else "$x", x=value) == value
