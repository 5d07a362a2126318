"""States Language: data flow, choices and intrinsic functions, as the documentation has them."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.states.data import put_result
from localcloud.services.states.paths import MISSING, BadPath, Scope, find, parse_path, parse_reference
from tests.unit.states_setup import one, result_of
from tests.unit.states_table import TABLE, Error, calls, passes


@pytest.mark.parametrize("name", TABLE)
def test_a_machine_gives_what_the_documentation_says(name: str) -> None:
    """Each row of the table: a machine, its input, its output or error."""
    machine, value, expected = TABLE[name]
    found = result_of(machine, value)
    if isinstance(expected, Error):
        found, expected = found[1], expected.name
    assert found == expected
    assert isinstance(found, bool) is isinstance(expected, bool)


@pytest.mark.parametrize("name", ["MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"])
def test_hashes_are_the_standards_own(name: str) -> None:
    """Every algorithm that the documentation names."""
    expected = hashlib.new(name.replace("-", "").lower(), b"text").hexdigest()
    assert result_of(calls(f"States.Hash('text', '{name}')")) == expected


def test_chance_is_the_seeds() -> None:
    """UUIDs and random numbers are the same again with the same seed; a seed of the call's own decides alone."""
    machine = passes(Parameters={"u.$": "States.UUID()", "n.$": "States.MathRandom(1, 1000)"})
    assert result_of(machine, seed=3) == result_of(machine, seed=3)
    assert result_of(machine, seed=3) != result_of(machine, seed=4)
    seeded = calls("States.MathRandom(1, 1000, 5)")
    assert result_of(seeded, seed=3) == result_of(seeded, seed=4)


def test_a_failures_cause_names_the_state_and_its_event() -> None:
    """What AWS says of an error that has no service."""
    status, error, cause = result_of(passes(Parameters={"a.$": "$.no"}), {"b": 1})
    assert (status, error) == ("FAILED", "States.ParameterPathFailure")
    assert cause == (
        "An error occurred while executing the state 'S' (entered at the event id #2). The JSONPath '$.no' specified "
        "for the field 'a.$' could not be found in the input '{\"b\":1}'"
    )


@pytest.mark.parametrize("text", ["", "a", "$.", "$.a[", "$.a.length()", "$.a[?(@.b =~ /x/)]", "$..", "$.a[?(1)]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """Functions and regular expressions too."""
    with pytest.raises(BadPath):
        parse_path(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner),
    max_leaves=8,
)


@settings(max_examples=60)
@given(JSON, st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=3))
def test_a_result_is_found_where_it_was_put(value: Any, names: list[str]) -> None:
    """ResultPath and a path are each other's inverse, and the input itself is never changed."""
    raw = value if isinstance(value, dict) else {}
    before = repr(raw)
    reference = "$" + "".join(f".{name}" for name in names)
    if any(
        find(parse_path("$" + "".join(f".{name}" for name in names[:n])), Scope(raw)) is not MISSING
        and not isinstance(find(parse_path("$" + "".join(f".{name}" for name in names[:n])), Scope(raw)), dict)
        for n in range(1, len(names))
    ):
        return
    put = put_result(raw, reference, 42)
    assert find(parse_path(reference), Scope(put)) == 42
    assert repr(raw) == before


def test_a_state_takes_no_more_than_256_kib() -> None:
    """States.DataLimitExceeded, which States.ALL does not take."""
    machine = one(
        {
            "Type": "Parallel",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "T"}],
            "Next": "T",
            "Branches": [
                {
                    "StartAt": "A",
                    "States": {"A": {"Type": "Pass", "Parameters": {"a.$": "$.x", "b.$": "$.x"}, "End": True}},
                }
            ],
        },
        T={"Type": "Pass", "End": True},
    )
    assert result_of(machine, {"x": "a" * 140_000})[1] == "States.DataLimitExceeded"
    assert result_of(machine, {"x": "a" * 100_000}) == [{"a": "a" * 100_000, "b": "a" * 100_000}]


@pytest.mark.parametrize(
    "fields",
    [
        {"OutputPath": "$" + "..*" * 6},
        {"OutputPath": "$" + "..[*]" * 6},
        {"Parameters": {"x.$": "States.Format('" + "{}" * 2000 + "'" + ", $.text" * 2000 + ")"}},
        {"Parameters": {"x.$": "States.Array(" + "States.Array($.text), " * 2000 + "1)"}},
        {"Parameters": {f"x{number}.$": "$" for number in range(2000)}},
        {"Parameters": [{"x.$": "States.JsonToString($)"}] * 2000},
    ],
    ids=["names", "items", "format", "arrays", "fields", "texts"],
)
def test_what_stands_for_more_than_there_is_memory_is_ended(fields: dict[str, Any]) -> None:
    """A path or a template fails as data that is too large does, before all of it is made."""
    deep: Any = {}
    for _ in range(100):
        deep = [deep]
    before_s = time.process_time()
    assert result_of(passes(**fields), {"text": "x" * 200_000, "deep": deep})[1] == "States.DataLimitExceeded"
    assert time.process_time() - before_s < 2


@pytest.mark.parametrize("text", ["1e999, 1", "$.a, 1.5", "1e308, 1e308"])
def test_a_sum_that_json_cannot_say_is_no_sum(text: str) -> None:
    """Infinity is no JSON, and a whole number may be too long for a fraction."""
    assert result_of(calls(f"States.MathAdd({text})"), {"a": 10**400})[1] == "States.IntrinsicFailure"


def test_a_reference_path_is_no_deeper_than_json_is_read() -> None:
    """A result that nobody could read again, or write, is refused with the definition."""
    parse_reference("$" + ".a" * 200)
    with pytest.raises(BadPath):
        parse_reference("$" + ".a" * 201)
