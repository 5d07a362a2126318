"""AlarmRule: which expressions are rules, and which states make them true."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.cloudwatch.rules import BadRule, parse_rule
from localcloud.services.cloudwatch.watch import State

STATES: dict[str, State] = {"a": "ALARM", "o": "OK", "i d": "INSUFFICIENT_DATA"}
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:x y"


def holds(text: str) -> bool:
    return parse_rule(text).holds(lambda name: STATES.get(name, "OK"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ALARM(a)", True),
        ('ALARM("a") AND NOT ALARM("o")', True),
        ("ALARM(o) OR OK(o)", True),
        ("INSUFFICIENT_DATA(i d)", True),
        ('INSUFFICIENT_DATA( "i d" )AND(FALSE OR ALARM (a))', True),
        ("TRUE OR TRUE AND FALSE", True),  # AND binds before OR
        ("(TRUE OR TRUE) AND FALSE", False),
        ("NOT FALSE AND FALSE", False),  # NOT binds before AND
        ("NOT (FALSE AND FALSE)", True),
        ("NOT NOT NOT TRUE", False),
        ("false", False),
        (f"NOT ALARM({ARN})", True),
        ("ALARM(a)\n  AND\tOK(o)", True),
    ],
)
def test_rules_hold_by_the_states_of_their_alarms(text: str, value: bool) -> None:
    """Functions, operators and how they bind, names with and without quotes."""
    assert value is holds(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must not be empty"),
        ("ALARM()", "cannot be read from character 1 on"),
        ("ALARM( )", "cannot be read from character 1 on"),
        ("ALARMED(a)", "cannot be read from character 1 on"),
        ("ALARM(a) OK(o)", "is not complete before character 9"),
        ("AND TRUE", "is not complete before character 1"),
        ("TRUE AND", "ends too early"),
        ("(TRUE", "never closed"),
        ("TRUE)", "was never opened"),
        ("()", "is not complete before character 2"),
        ("TRUE & FALSE", "cannot be read from character 5 on"),
        ('AT_LEAST(2, ALARM, ("a", "b"))', "does not serve AT_LEAST"),
        (" OR ".join(["TRUE"] * 501), "more than 500 elements"),
        ("(" * 501, "more than 500 elements"),
        (" OR ".join(f"ALARM(a{number})" for number in range(101)), "more than 100 child alarms"),
        ("NOT " * 2560 + "TRUE", "longer than 10240 characters"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, part: str) -> None:
    """With where it ends to be one."""
    with pytest.raises(BadRule) as caught:
        parse_rule(text)
    assert part in str(caught.value)


def test_the_largest_rules_are_read() -> None:
    """As deep and as long as they may be: no recursion."""
    assert holds("(" * 249 + "TRUE" + ")" * 249)
    assert holds("NOT " * 2558 + "TRUE")
    assert parse_rule(" OR ".join(["ALARM(a)"] * 500)).children == ("a",)
    with pytest.raises(BadRule):
        parse_rule("ALARM(a" + " " * 10_200)


TREES: Any = st.recursive(
    st.sampled_from(["a", "o", "i d", True, False]),
    lambda inner: st.tuples(st.just("NOT"), inner) | st.tuples(st.sampled_from(["AND", "OR"]), inner, inner),
    max_leaves=30,
)


def write(tree: Any) -> str:
    if isinstance(tree, bool):
        return str(tree).upper()
    if isinstance(tree, str):
        return f'ALARM("{tree}")'
    if tree[0] == "NOT":
        return f"NOT ({write(tree[1])})"
    return f"({write(tree[1])}) {tree[0]} ({write(tree[2])})"


def value_of(tree: Any) -> bool:
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, str):
        return STATES[tree] == "ALARM"
    if tree[0] == "NOT":
        return not value_of(tree[1])
    left, right = value_of(tree[1]), value_of(tree[2])
    return (left and right) if tree[0] == "AND" else (left or right)


@given(TREES)
def test_a_rule_is_worth_what_its_tree_is(tree: Any) -> None:
    """Written with every parenthesis, and read again."""
    assert value_of(tree) is holds(write(tree))
