"""Condition operators of IAM policies."""

from __future__ import annotations

import pytest

from localcloud.services.iam.conditions import condition_holds, make_condition
from localcloud.services.iam.errors import MalformedPolicy

CONTEXT = {
    "s": ("Value",),
    "n": ("10",),
    "d": ("2026-01-15T12:00:00Z",),
    "ip": ("10.1.2.3",),
    "arn": ("arn:aws:sns:eu-west-1:123456789012:topic-a",),
    "tags": ("a", "b"),
    "b": ("QmluYXJ5",),
    "t": ("true",),
    "who": ("ann",),
}

CASES = [
    ("StringEquals", "s", ["Value"], True),
    ("StringEquals", "S", ["Value"], True),
    ("StringEquals", "s", ["value"], False),
    ("StringEquals", "s", ["x", "Value"], True),
    ("StringEquals", "s", ["Val*"], False),
    ("StringEquals", "none", ["x"], False),
    ("StringNotEquals", "s", ["x"], True),
    ("StringNotEquals", "s", ["x", "Value"], False),
    ("StringNotEquals", "none", ["x"], True),
    ("StringEqualsIgnoreCase", "s", ["vALUE"], True),
    ("StringNotEqualsIgnoreCase", "s", ["vALUE"], False),
    ("StringLike", "s", ["Va?u*"], True),
    ("StringLike", "s", ["va*"], False),
    ("StringNotLike", "s", ["V*"], False),
    ("StringNotLike", "none", ["V*"], True),
    ("StringEqualsIfExists", "none", ["x"], True),
    ("StringEqualsIfExists", "s", ["x"], False),
    ("StringNotLikeIfExists", "none", ["x"], True),
    ("NumericEquals", "n", ["10.0"], True),
    ("NumericEquals", "n", ["11"], False),
    ("NumericNotEquals", "n", ["11"], True),
    ("NumericLessThan", "n", ["11"], True),
    ("NumericLessThan", "n", ["10"], False),
    ("NumericLessThanEquals", "n", ["10"], True),
    ("NumericGreaterThan", "n", ["9"], True),
    ("NumericGreaterThanEquals", "n", ["10"], True),
    ("NumericEquals", "s", ["10"], False),
    ("DateEquals", "d", ["2026-01-15T13:00:00+01:00"], True),
    ("DateNotEquals", "d", ["2026-01-15"], True),
    ("DateLessThan", "d", ["2026-01-16"], True),
    ("DateGreaterThan", "d", ["1768478400"], False),
    ("DateGreaterThanEquals", "d", ["1768478400"], True),
    ("DateLessThanEquals", "d", ["2026-01-14T00:00:00Z"], False),
    ("DateEquals", "s", ["2026-01-14"], False),
    ("Bool", "t", ["True"], True),
    ("Bool", "t", ["false"], False),
    ("Bool", "none", ["false"], False),
    ("BoolIfExists", "none", ["false"], True),
    ("BinaryEquals", "b", ["QmluYXJ5"], True),
    ("IpAddress", "ip", ["10.0.0.0/8"], True),
    ("IpAddress", "ip", ["10.1.2.3"], True),
    ("IpAddress", "ip", ["192.168.0.0/16"], False),
    ("IpAddress", "s", ["10.0.0.0/8"], False),
    ("NotIpAddress", "ip", ["10.0.0.0/8"], False),
    ("NotIpAddress", "ip", ["2001:db8::/32"], True),
    ("ArnEquals", "arn", ["arn:aws:sns:eu-west-1:123456789012:topic-a"], True),
    ("ArnEquals", "arn", ["arn:aws:sns:*:123456789012:topic-*"], True),
    ("ArnLike", "arn", ["arn:aws:sns:*:*:*"], True),
    ("ArnLike", "arn", ["arn:aws:sns:*"], False),
    ("ArnNotLike", "arn", ["arn:aws:sqs:*:*:*"], True),
    ("ArnNotEquals", "arn", ["arn:aws:sns:*:*:*"], False),
    ("Null", "none", ["true"], True),
    ("Null", "none", ["false"], False),
    ("Null", "s", ["true"], False),
    ("Null", "s", ["false"], True),
    ("ForAllValues:StringEquals", "tags", ["a", "b", "c"], True),
    ("ForAllValues:StringEquals", "tags", ["a"], False),
    ("ForAllValues:StringEquals", "none", ["a"], True),
    ("ForAnyValue:StringEquals", "tags", ["b", "c"], True),
    ("ForAnyValue:StringEquals", "tags", ["c"], False),
    ("ForAnyValue:StringEquals", "none", ["a"], False),
    ("ForAnyValue:StringEqualsIfExists", "none", ["a"], True),
    ("ForAllValues:StringNotEquals", "tags", ["c"], True),
    ("ForAllValues:StringNotEquals", "tags", ["a"], False),
    ("ForAnyValue:StringNotEquals", "tags", ["a"], True),
    ("ForAnyValue:StringNotEquals", "tags", ["a", "b"], False),
    ("StringEquals", "who", ["${who}"], True),
    ("StringLike", "s", ["${who}*"], False),
    ("StringEqualsIgnoreCase", "who", ["${who}"], True),
    ("ArnLike", "arn", ["${arn}"], True),
    ("NumericEquals", "n", ["${n}"], False),
    ("NumericNotEquals", "n", ["${n}"], True),
    ("DateEquals", "d", ["${d}"], False),
    ("Bool", "t", ["${t}"], False),
    ("BinaryEquals", "b", ["${b}"], False),
    ("IpAddress", "ip", ["${ip}"], False),
    ("Null", "none", ["${t}"], False),
    ("StringEquals", "who", ["${nobody}"], False),
    ("StringNotEquals", "who", ["${nobody}"], True),
]


@pytest.mark.parametrize(("operator", "key", "values", "expected"), CASES)
def test_each_operator(operator: str, key: str, values: list[str], expected: object) -> None:
    """The table: values of a policy are alternatives, a negated operator wants none; missing keys; sets; variables."""
    assert condition_holds(make_condition(operator, key, values), CONTEXT, variables=True) is expected


@pytest.mark.parametrize(
    "operator",
    ["StringIs", "stringequals", "", "NotBool", "Null2", "NullIfExists", "ForAllValues:Null", "ForSome:StringEquals",
     "NumericLessThanOrEquals", "NotStringEquals"],
)  # fmt: skip
def test_an_unknown_operator_is_an_error(operator: str) -> None:
    """A condition is never passed over."""
    with pytest.raises(MalformedPolicy, match="is not known"):
        make_condition(operator, "k", ["v"])
