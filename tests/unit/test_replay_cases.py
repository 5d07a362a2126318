"""Recorded cases: how they are found, what is sent of them, and when a reply is the recorded one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.replay.cases import NOT_RECORDED, Case, differences, load_cases

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _write(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def _case(event: dict[str, Any]) -> Case:
    return Case("read_job", "one", Path("one.json"), event)


# ---------------------------------------------------------------- on disk


def test_every_case_is_found_in_order_with_its_reply(tmp_path: Path) -> None:
    """Cases come sorted by function and name; a reply file is no case, and a case may have none."""
    _write(tmp_path, "b/two.json", {"n": 2})
    _write(tmp_path, "a/one.json", {"n": 1})
    _write(tmp_path, "a/one.reply.json", {"ok": True})
    _write(tmp_path, "replay.py", "no case")
    found = [(case.function, case.name, case.event, case.reply) for case in load_cases(tmp_path)]
    assert found == [("a", "one", {"n": 1}, {"ok": True}), ("b", "two", {"n": 2}, NOT_RECORDED)]


def test_a_recorded_null_is_a_reply(tmp_path: Path) -> None:
    """A function that returns nothing replies `null`; that is not the same as no recording."""
    _write(tmp_path, "a/one.json", {})
    _write(tmp_path, "a/one.reply.json", "null\n")
    (case,) = load_cases(tmp_path)
    assert case.reply is None
    assert differences(case.reply, None) == []
    assert differences(case.reply, {}) == ["$: expected null, got {}"]


def test_a_message_has_its_last_frame_beside_the_reply(tmp_path: Path) -> None:
    """`<case>.frame.json` is no case; it is what the sender of a WebSocket's message got last."""
    _write(tmp_path, "a/one.json", {})
    _write(tmp_path, "a/one.reply.json", {"statusCode": 200})
    _write(tmp_path, "a/one.frame.json", {"t": "final"})
    assert [(case.reply, case.frame) for case in load_cases(tmp_path)] == [({"statusCode": 200}, {"t": "final"})]


def test_names_choose_functions_and_single_cases(tmp_path: Path) -> None:
    """`--case a` takes all of a function, `--case b/two` one case."""
    for name in ("a/one", "a/two", "b/one", "b/two"):
        _write(tmp_path, f"{name}.json", {})
    chosen = [f"{case.function}/{case.name}" for case in load_cases(tmp_path, names=["a", "b/two"])]
    assert chosen == ["a/one", "a/two", "b/two"]


def test_a_name_without_a_case_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A misspelt case is not silently nothing."""
    _write(tmp_path, "a/one.json", {})
    with pytest.raises(ValueError, match="no recorded case is called a/other, c"):
        list(load_cases(tmp_path, names=["a/one", "c", "a/other"]))


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    """A broken event or reply is an error with its path."""
    _write(tmp_path, "a/one.json", {})
    _write(tmp_path, "a/one.reply.json", "{")
    with pytest.raises(ValueError, match=r"one\.reply\.json is not JSON"):
        list(load_cases(tmp_path))


# ---------------------------------------------------------------- what is sent


def test_the_token_replaces_its_placeholder_everywhere() -> None:
    """`{{token}}` becomes this run's token, wherever it stands; such a case needs one."""
    case = _case({"headers": {"authorization": "Bearer {{token}}"}, "list": ["{{token}}"]})
    assert case.needs_token
    assert case.as_sent(token="t", caller="") == {"headers": {"authorization": "Bearer t"}, "list": ["t"]}
    assert not _case({"headers": {}}).needs_token


def test_the_recorded_principal_becomes_the_caller_everywhere() -> None:
    """Over HTTP the token's own caller stands for the recorded one, so that a case about "my job" stays one."""
    case = _case({"requestContext": {"authorizer": {"principalId": "abc"}}, "path": "/jobs/k.abc.x"})
    assert case.principal == "abc"
    assert case.as_sent(token="", caller="me") == {
        "requestContext": {"authorizer": {"principalId": "me"}},
        "path": "/jobs/k.me.x",
    }
    assert case.as_sent(token="", caller="") == case.event


@pytest.mark.parametrize("context", [{}, {"requestContext": None}, {"requestContext": {"authorizer": None}}])
def test_an_event_without_a_principal_has_none(context: dict[str, Any]) -> None:
    """No authorizer, no principal: the event is sent as it is, whoever calls."""
    assert _case(context).principal == ""
    assert _case(context).as_sent(token="", caller="me") == context


# ---------------------------------------------------------------- the comparison


@given(JSON)
def test_a_reply_is_itself(reply: Any) -> None:
    """Nothing differs from itself."""
    assert differences(reply, json.loads(json.dumps(reply))) == []


@given(JSON, JSON)
def test_replies_that_differ_as_json_are_found(one: Any, other: Any) -> None:
    """What JSON can tell apart is told apart, but for text that holds JSON itself and for 1 and 1.0."""
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True) and _plain(one) != _plain(other):
        assert differences(one, other) != []


def _plain(value: Any) -> Any:
    """`value` with numbers as floats, booleans as words, and the placeholder and text that is JSON out of the way."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e300 else repr(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return ("text", value)


@pytest.mark.parametrize("actual", [None, 0, "", [], {}, {"deep": [1]}])
def test_any_matches_whatever_stands_there(actual: object) -> None:
    """`{{any}}` is right for every value, at any depth."""
    assert differences("{{any}}", actual) == []
    assert differences({"a": ["{{any}}"]}, {"a": [actual]}) == []


def test_any_does_not_stand_for_a_missing_member() -> None:
    """A member that is recorded must be there."""
    assert differences({"a": "{{any}}"}, {}) == ["$.a: missing"]


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        ({"a": 1}, {"a": 2}, ["$.a: expected 1, got 2"]),
        ({"a": 1}, {"a": 1, "b": 2}, ["$.b: not in the recorded reply"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["$.a.b[1]: expected 2, got 3"]),
        ([1], [1, 2], ["$: expected 1 elements, got 2"]),
        ({"ok": True}, {"ok": 1}, ["$.ok: expected true, got 1"]),
        (0, False, ["$: expected 0, got false"]),
        (None, {}, ["$: expected null, got {}"]),
        ("a", "b", ['$: expected "a", got "b"']),
        ({"a": [1]}, {"a": {"0": 1}}, ['$.a: expected [1], got {"0": 1}']),
    ],
)
def test_each_difference_is_one_sentence_with_its_place(expected: object, actual: object, said: list[str]) -> None:
    """The place is a path from `$`, both values are shown as JSON."""
    assert differences(expected, actual) == said


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        ('{"a":1,"b":2}', '{"b": 2, "a": 1}', []),
        ("[1,2]", "[1, 2]", []),
        ('{"id":"{{any}}"}', '{"id": 7}', []),
        ('{"a":1}', '{"a":2}', ["$: expected 1, got 2"]),
        ('{"a":1}', "no json", ['$: expected "{\\"a\\":1}", got "no json"']),
        ("1", "1.0", ['$: expected "1", got "1.0"']),
    ],
)
def test_text_that_is_json_on_both_sides_is_compared_as_json(expected: str, actual: str, said: list[str]) -> None:
    """A proxy reply's body is compared by what it means; text that only looks like a number stays text."""
    found = differences(expected, actual)
    assert [line.replace("$.a", "$") for line in found] == said


def test_long_values_are_cut() -> None:
    """A difference fits on a line or two however large the values are."""
    (line,) = differences("x" * 5000, "y" * 5000)
    assert len(line) < 300
    assert "..." in line
