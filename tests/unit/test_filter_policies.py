"""Filter policies: what each operator keeps in both scopes, what SNS refuses, and how its limits count."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules import patterns
from sluiceway.rules.filter_policies import FilterPolicy, Scope
from sluiceway.rules.patterns import InvalidPattern


@dataclass(frozen=True)
class Value:
    """A message attribute."""

    data_type: str
    value: str | bytes


def value(given: Any) -> Value:
    """Text is a String, a number a Number, a list a String.Array, bytes are Binary; a pair says type and value."""
    if isinstance(given, tuple):
        return Value(*given)
    if isinstance(given, str):
        return Value("String", given)
    if isinstance(given, bytes):
        return Value("Binary", given)
    return Value("String.Array", json.dumps(given)) if isinstance(given, list) else Value("Number", str(given))


def keeps(policy: object, message: Any, scope: Scope) -> bool:
    """`message`: attributes as `value` takes them, or a body: text, or what to write as JSON."""
    text = policy if isinstance(policy, str) else json.dumps(policy)
    compiled = FilterPolicy(text, scope)
    if scope == "MessageBody":
        return compiled.keep(message if isinstance(message, str) else json.dumps(message), {})
    return compiled.keep("a message", {name: value(each) for name, each in message.items()})


OR = {
    "source": ["aws.cloudwatch"],
    "$or": [{"metric": ["CPU"]}, {"type": ["Alarm"], "$or": [{"id": [1]}, {"space": [{"exists": True}]}]}],
}
# policy, messages that are kept, messages that are not
ATTRIBUTES: list[tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ({}, [{}, {"a": "x"}], []),
    ({"a": ["x", "y"]}, [{"a": "x"}, {"a": "y", "b": "z"}, {"a": ["q", "y"]}], [{}, {"a": "X"}, {"b": "x"}, {"a": []}]),
    ({"a": ["x"], "b": [1]}, [{"a": "x", "b": 1}], [{"a": "x"}, {"a": "x", "b": 2}, {"a": "x", "b": "1"}]),
    ({"a": [300]}, [{"a": 300}, {"a": ("Number", "3.0e2")}], [{"a": "300"}]),
    ({"a": [7]}, [{"a": ("Number", "007")}, {"a": ("Number", "+7")}, {"a": [7]}], [{"a": ("Number", "7.1")}]),
    ({"a": [0.5]}, [{"a": ("Number", ".5")}, {"a": ("Number.ratio", "0.50")}], [{"a": ".5"}]),
    ({"a": [None]}, [{"a": [None]}, {"a": ["x", None]}], [{"a": "null"}, {}]),
    ({"a": [True]}, [{"a": [True]}], [{"a": "true"}, {"a": [1]}]),
    ({"a": [{"prefix": "bas"}]}, [{"a": "baseball"}, {"a": ["rugby", "basket"]}], [{"a": "rugby"}, {"a": 5}]),
    ({"a": [{"suffix": "ball"}]}, [{"a": "baseball"}], [{"a": "rugby"}, {"a": "BALL"}]),
    ({"a": [{"equals-ignore-case": "Tennis"}]}, [{"a": "TENNIS"}, {"a": "tennis"}], [{"a": "tennis "}]),
    ({"a": [{"wildcard": "*-error"}]}, [{"a": "db-error"}, {"a": "-error"}], [{"a": "error"}, {"a": "db-errors"}]),
    ({"a": [{"wildcard": "a*b*c"}]}, [{"a": "abc"}, {"a": "a1b2c"}], [{"a": "acb"}]),
    ({"a": [{"wildcard": "5\\*"}]}, [{"a": "5*"}], [{"a": "55"}]),
    ({"a": [{"cidr": "10.0.0.0/24"}]}, [{"a": "10.0.0.255"}], [{"a": "10.0.1.0"}, {"a": "x"}]),
    ({"a": [{"cidr": "2001:db8::/32"}]}, [{"a": "2001:db8:0:1::"}], [{"a": "2001:db9::"}]),
    (
        {"a": [{"anything-but": ["rugby", "tennis"]}]},
        [{"a": "baseball"}, {"a": ["rugby", "baseball"]}, {"a": 5}],
        [{"a": "rugby"}, {"a": ["rugby", "tennis"]}, {}, {"a": []}],
    ),
    ({"a": [{"anything-but": [100, 500]}]}, [{"a": 101}, {"a": 100.1}, {"a": "100"}], [{"a": 100}, {"a": [500]}]),
    ({"a": [{"anything-but": "x"}, {"exists": False}]}, [{"a": "y"}, {"b": "x"}], [{"a": "x"}, {}]),
    ({"a": [{"anything-but": {"prefix": "order-"}}]}, [{"a": "data-1"}], [{"a": "order-1"}, {}]),
    ({"a": [{"anything-but": {"prefix": ["a", "b"]}}]}, [{"a": "c"}], [{"a": "a1"}, {"a": "b1"}]),
    ({"a": [{"anything-but": {"wildcard": "test-*"}}]}, [{"a": "prod-1"}], [{"a": "test-1"}]),
    ({"a": [{"numeric": ["=", 301.5]}]}, [{"a": 301.5}, {"a": ("Number", "3.015e2")}], [{"a": 301}, {"a": "301.5"}]),
    ({"a": [{"numeric": [">", 0, "<=", 150]}]}, [{"a": 150}, {"a": 0.1}, {"a": [7]}], [{"a": 0}, {"a": 151}]),
    ({"a": [{"numeric": ["<", 0]}]}, [{"a": -1}], [{"a": 0}, {"a": "-1"}]),
    ({"a": [{"exists": True}]}, [{"a": "x"}, {"a": 0}, {"a": ["x"]}], [{"b": "x"}, {"a": []}, {"a": [None, ""]}]),
    ({"a": [{"exists": False}]}, [{"b": "x"}], [{"a": "x"}, {}, {"b": b"binary alone"}]),
    ({"a": ["AAE="]}, [], [{"a": b"\x00\x01"}]),
    ({"a": ["x"]}, [{"a": ("String.kind", "x")}], [{"a": ("String.Array", "x")}, {"a": ("String.Array", '"x"')}]),
    ({"a": [{"anything-but": [100, 500]}]}, [{"a": ("Number.Array", "[100, 50]")}], [{"a": ("Number.Array", "[100]")}]),
    ({"a.b": ["x"]}, [{"a.b": "x"}], [{"a": "x"}]),
    (
        OR,
        [
            {"source": "aws.cloudwatch", "metric": "CPU"},
            {"source": "aws.cloudwatch", "type": "Alarm", "id": 1},
            {"source": "aws.cloudwatch", "type": "Alarm", "space": "s"},
        ],
        [{"metric": "CPU"}, {"source": "aws.cloudwatch", "type": "Alarm"}],
    ),
    ({"$or": ["a", "b"]}, [{"$or": "a"}], [{"a": "a"}]),
    ({"$or": [{"numeric": ["=", 1]}, {"prefix": "x"}]}, [{"$or": 1}, {"$or": "xy"}], [{"$or": 2}]),
]
BODIES: list[tuple[Any, list[Any], list[Any]]] = [
    ({}, ["no JSON", {}], []),
    ({"a": ["x"]}, [{"a": "x"}, {"a": ["x", "y"]}], ["x", '"x"', "[]", '["x"]', {}, {"b": "x"}, '{"a": "x"', ""]),
    (
        {"object": {"key": [{"prefix": "auto-"}, "hard"], "nested": [{"exists": False}]}, "test": [{"exists": False}]},
        [{"object": {"key": "auto-test"}}, {"object": {"key": "hard"}}],
        [
            {"object": {"key": "test-auto"}},
            {"object": {"key": "auto-test"}, "test": "there"},
            {"object": {"key": "auto-test", "nested": "there"}},
            {"object": {"test": "auto-test"}},
        ],
    ),
    (
        {"object.nested.test": ["v"]},
        [
            {"object": {"nested": {"test": "v"}}},
            {"object.nested.test": "v"},
            {"object.nested": {"test": "v"}},
            {"object": {"nested.test": "v"}},
        ],
        [{"object": {"nested": {"test": "w"}}}],
    ),
    (
        {"Records": {"s3": {"object": {"key": [{"prefix": "auto-"}]}}, "eventName": [{"prefix": "ObjectCreated:"}]}},
        [
            {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": [[{"key": "auto-1"}]]}}]},
            {"Records": [{"eventName": "x"}, {"eventName": "ObjectCreated:", "s3": {"object": {"key": "auto-"}}}]},
        ],
        [
            {"Records": [{"eventName": "ObjectRemoved:", "s3": {"object": {"key": "auto-1"}}}]},
            {"Records": [{"eventName": "ObjectCreated:"}, {"eventName": "x", "s3": {"object": {"key": "auto-1"}}}]},
        ],
    ),
    ({"a": [None]}, [{"a": None}, {"a": [None]}], [{"a": ""}, {"a": "null"}, {"a": []}, {}]),
    ({"a": [True, False]}, [{"a": True}, {"a": False}], [{"a": 1}, {"a": "true"}]),
    ({"a": [{"exists": True}]}, [{"a": "x"}, {"a": 0}, {"a": False}], [{"a": None}, {"a": ""}, {"a": []}, {"a": {}}]),
    ({"a": [{"exists": False}]}, [{"b": 1}], [{"a": None}, {}, {"a": ""}, "[1]", '"b"', "1", "null"]),
    ({"a": [{"anything-but": [100, 500]}]}, [{"a": [100, 50]}, {"a": None}], [{"a": [100, 500]}, {}]),
    ({"a": [{"numeric": [">", 5]}]}, [{"a": 6}, '{"a": 5.00001}'], [{"a": "6"}, {"a": True}, '{"a": 1e400}']),
    ({"a": [{"cidr": "10.0.0.0/8"}]}, [{"a": "10.1.2.3"}], [{"a": "11.0.0.0"}]),
    ({"a": {"b": [{"wildcard": "*/src/*.js"}]}}, [{"a": {"b": "x/src/y.js"}}], [{"a": {"b": "src/y.js"}}]),
    (
        {"$or": [{"metric": ["CPU"]}, {"space": ["EC2"]}], "detail": {"$or": [{"source": ["s"]}, {"type": ["t"]}]}},
        [{"metric": "CPU", "detail": {"source": "s"}}, {"space": "EC2", "detail": {"type": "t"}}],
        [{"metric": "CPU", "detail": {"type": "s"}}, {"detail": {"source": "s"}}],
    ),
    ({"$or": [{"a": ["x"], "b": [1]}, {"a": ["y"]}]}, [{"a": "y"}, {"a": "x", "b": 1}], [{"a": "x"}]),
]
# policy, scope, reason, path
INVALID: list[tuple[Any, Scope, str, str]] = [
    ("{", "MessageAttributes", "invalid-json", ""),
    ("[]", "MessageBody", "not-an-object", ""),
    ('{"a": [NaN]}', "MessageBody", "invalid-json", ""),
    ({"a": "x"}, "MessageAttributes", "not-object-or-array", "a"),
    ({"a": []}, "MessageAttributes", "empty-array", "a"),
    ({"a": {}}, "MessageBody", "empty-object", "a"),
    ({"a": [["x"]]}, "MessageAttributes", "value", "a"),
    ({"a": {"b": ["x"]}}, "MessageAttributes", "nested", "a"),
    ({"$or": [{"a": ["x"]}, {"b": {"c": ["x"]}}]}, "MessageAttributes", "nested", "b"),
    ({"a": [{"wrong": True}]}, "MessageAttributes", "unknown-operator", "a"),
    ({"a": [{"prefix": "x", "suffix": "y"}]}, "MessageAttributes", "operator", "a"),
    ({"a": [{}]}, "MessageBody", "operator", "a"),
    ({"a": [{"prefix": 1}]}, "MessageBody", "operand", "a"),
    ({"a": [{"prefix": {"equals-ignore-case": "x"}}]}, "MessageBody", "operator-not-served", "a"),
    ({"a": [{"suffix": {"equals-ignore-case": "x"}}]}, "MessageBody", "operator-not-served", "a"),
    ({"a": [{"exactly": "x"}]}, "MessageBody", "operator-not-served", "a"),
    ({"a": [{"exists": "yes"}]}, "MessageAttributes", "operand", "a"),
    ({"a": [{"cidr": "10.0.0.0"}]}, "MessageAttributes", "cidr", "a"),
    ({"a": [{"cidr": "10.0.0.0/32"}]}, "MessageAttributes", "cidr", "a"),
    ({"a": [{"anything-but": []}]}, "MessageAttributes", "operand", "a"),
    ({"a": [{"anything-but": ["x", 1]}]}, "MessageAttributes", "operand", "a"),
    ({"a": [{"anything-but": {"suffix": "x"}}]}, "MessageAttributes", "operator-not-served", "a"),
    ({"a": [{"anything-but": {"equals-ignore-case": "x"}}]}, "MessageBody", "operator-not-served", "a"),
    ({"a": [{"anything-but": {"exists": False}}]}, "MessageAttributes", "operand", "a"),
    ({"a": [{"numeric": []}]}, "MessageAttributes", "numeric", "a"),
    ({"a": [{"numeric": [">", 3, "<", 1]}]}, "MessageAttributes", "numeric", "a"),
    ({"a": [{"numeric": ["<", 1, ">", 3]}]}, "MessageAttributes", "numeric", "a"),
    ({"a": [{"numeric": ["=", "1"]}]}, "MessageAttributes", "operand", "a"),
    ({"a": [{"numeric": [">", 1_000_000_001]}]}, "MessageAttributes", "large-number", "a"),
    ({"a": [1_000_000_001]}, "MessageAttributes", "large-number", "a"),
    ({"a": {"b": [-1_000_000_000.5]}}, "MessageBody", "large-number", "a.b"),
    ({"a": [{"anything-but": [1.000001]}]}, "MessageAttributes", "decimals", "a"),
    ({"a": [{"numeric": ["=", 1.000001]}]}, "MessageAttributes", "decimals", "a"),
    ('{"a": [0.10000000000000000000001]}', "MessageBody", "decimals", "a"),
    ({"a": [{"wildcard": "a**"}]}, "MessageAttributes", "wildcard", "a"),
    ({"a": [{"wildcard": "*a*b*c*"}]}, "MessageAttributes", "wildcard-stars", "a"),
    ({"a": [{"anything-but": {"wildcard": ["x", "*a*b*c*"]}}]}, "MessageBody", "wildcard-stars", "a"),
    ({"a": [{"wildcard": f"*a*b{n}*"} for n in range(4)]}, "MessageBody", "wildcard-points", ""),
    ({name: ["x"] for name in "abcdef"}, "MessageAttributes", "too-many-keys", ""),
    ({"a": {name: ["x"] for name in "abcdef"}}, "MessageBody", "too-many-keys", ""),
    ({"$or": [{name: ["x"]} for name in "abcdef"]}, "MessageAttributes", "too-many-keys", ""),
    ({"a": [f"v{n}" for n in range(151)]}, "MessageAttributes", "too-complex", ""),
    ({"a": ["x"] * 100, "b": ["y"] * 51}, "MessageAttributes", "too-complex", ""),
    ({"$or": [{"a": [n]} for n in range(151)]}, "MessageBody", "too-complex", ""),
    ({"a": ["x" * 262_145]}, "MessageAttributes", "too-long", ""),
    ('{"a":' * 102 + '["x"]' + "}" * 102, "MessageBody", "too-deep", ".".join("a" * 100)[:100]),
    ({"$or": [{"a": ["x"]}]}, "MessageBody", "unknown-operator", "$or"),
]


@pytest.mark.parametrize(
    ("policy", "message", "kept"),
    [(policy, each, True) for policy, good, _ in ATTRIBUTES for each in good]
    + [(policy, each, False) for policy, _, bad in ATTRIBUTES for each in bad],
)
def test_attributes_are_kept_as_the_policy_says(policy: Any, message: dict[str, Any], kept: bool) -> None:
    """Of the scope MessageAttributes."""
    assert keeps(policy, message, "MessageAttributes") is kept


@pytest.mark.parametrize(
    ("policy", "message", "kept"),
    [(policy, each, True) for policy, good, _ in BODIES for each in good]
    + [(policy, each, False) for policy, _, bad in BODIES for each in bad],
)
def test_bodies_are_kept_as_the_policy_says(policy: Any, message: Any, kept: bool) -> None:
    """Of the scope MessageBody."""
    assert keeps(policy, message, "MessageBody") is kept


@pytest.mark.parametrize(("policy", "scope", "reason", "path"), INVALID)
def test_an_invalid_policy_is_refused_with_path_and_rule(policy: Any, scope: Scope, reason: str, path: str) -> None:
    """The reason is a code, the field the path; the rule is a sentence without the policy's own text."""
    with pytest.raises(InvalidPattern) as error:
        FilterPolicy(policy if isinstance(policy, str) else json.dumps(policy), scope)
    assert (error.value.reason, error.value.field) == (reason, path)
    assert error.value.rule in str(error.value)


def test_the_corpus_is_large() -> None:
    """Both scopes and the refusals have their share."""
    assert sum(len(good) + len(bad) for _, good, bad in ATTRIBUTES) >= 80
    assert sum(len(good) + len(bad) for _, good, bad in BODIES) >= 50
    assert len(INVALID) >= 45


VALUES = [f"v{n}" for n in range(10)]


@pytest.mark.parametrize(
    ("policy", "combinations"),
    [
        ({"a": VALUES[:3], "b": VALUES[:1], "c": VALUES[:2]}, 6),
        ({"a": VALUES, "b": VALUES, "c": VALUES[:1]}, 100),
        ({"a": {"b": {"c": VALUES[:4]}}, "d": {"e": VALUES[:3]}}, 72),
        ({"a": {"b": {"c": VALUES[:4]}}, "d": {"e": VALUES[:3]}, "f": VALUES[:3]}, 216),
        (
            {
                "source": VALUES[:3],
                "$or": [
                    {"name": VALUES[:6]},
                    {"type": VALUES[:4], "$or": [{"id": VALUES[:4]}, {"space": VALUES[:7]}]},
                ],
            },
            150,
        ),
        (
            {
                "source": VALUES[:4],
                "$or": [
                    {"name": VALUES[:6]},
                    {"type": VALUES[:4], "$or": [{"id": VALUES[:4]}, {"space": VALUES[:4]}]},
                ],
            },
            152,
        ),
        (
            {
                "$or": [{"metric": VALUES[:3]}, {"namespace": VALUES[:2]}],
                "detail": {"scope": VALUES[:2], "$or": [{"source": VALUES[:1]}, {"type": VALUES[:3]}]},
            },
            160,
        ),
    ],
)
def test_combinations_count_length_times_depth_and_add_up_at_or(policy: Any, combinations: int) -> None:
    """The sums of AWS's pages, and of policies that AWS took (150) and refused (152, 160, 216)."""
    if combinations <= 150:
        assert isinstance(FilterPolicy(policy, "MessageBody"), FilterPolicy)
        return
    with pytest.raises(InvalidPattern, match="Filter policy is too complex"):
        FilterPolicy(policy, "MessageBody")


def test_a_policy_has_at_most_256_kilobytes() -> None:
    """Of text, in UTF-8."""
    text = json.dumps({"a": ["é" * 131_063]}, ensure_ascii=False)
    text += " " * (256 * 1024 - len(text.encode()))
    assert len(text.encode()) == 262_144
    assert FilterPolicy(text).keep("", {"a": value("é" * 131_063)})
    with pytest.raises(InvalidPattern) as caught:
        FilterPolicy(text + " ")
    assert caught.value.reason == "too-long"


def test_five_leaves_are_allowed_wherever_they_lie() -> None:
    """Of a nested policy the leaves count, and a leaf that two ways of a $or share counts once."""
    FilterPolicy({"a": {"b": ["x"], "c": {"d": ["x"]}}, "e": ["x"], "f": ["x"], "g": ["x"]}, "MessageBody")
    FilterPolicy({"$or": [{"a": ["x"], "b": ["x"], "c": ["x"]}, {"a": ["y"], "d": ["x"], "e": ["x"]}]})


def test_wildcards_cost_points() -> None:
    """One star is a point, each of several three; the sum counts as often as there are patterns; 100 are allowed."""
    FilterPolicy({"a": [{"wildcard": f"*{n}"} for n in range(10)]})  # 10 * 10
    with pytest.raises(InvalidPattern, match="100 points"):
        FilterPolicy({"a": [{"wildcard": f"*{n}"} for n in range(11)]})
    FilterPolicy({"a": [{"wildcard": f"*{n}*{n}*"} for n in range(3)], "b": [{"wildcard": f"*{n}"} for n in range(4)]})
    with pytest.raises(InvalidPattern, match="100 points"):  # 3 * 27 + 5 * 5
        FilterPolicy(
            {"a": [{"wildcard": f"*{n}*{n}*"} for n in range(3)], "b": [{"wildcard": f"*{n}"} for n in range(5)]}
        )
    FilterPolicy({"a": [{"wildcard": "plain"}, {"anything-but": {"wildcard": "*a*b*"}}] * 10})


def test_a_policy_may_be_decoded_already() -> None:
    """A map is as good as its text; a scope that SNS does not have is a mistake of the deployment."""
    assert FilterPolicy({"a": ["x"]}).keep("", {"a": Value("String", "x")})
    assert FilterPolicy(b'{"a": ["x"]}', "MessageBody").keep('{"a": "x"}', {})
    with pytest.raises(Misconfigured, match="scope"):
        FilterPolicy({"a": ["x"]}, cast("Scope", "Subject"))


def test_a_body_that_patterns_cannot_decide_is_not_kept() -> None:
    """It says one path in four ways, and has an element too few: there are more ways to choose than are tried."""
    elements = [{f"c{n}": 1} for n in range(5)] * 8
    body = {"a": {"b": {"d": elements}, "b.d": elements}, "a.b": {"d": elements}, "a.b.d": elements}
    policy = {f"a.b.d.c{n}": [1] for n in range(5)}
    with pytest.raises(Rejected, match="too many ways"):
        patterns.compile(policy).matches(body)
    assert not keeps(policy, body, "MessageBody")


def test_a_billion_is_the_largest_number() -> None:
    """Both bounds are allowed, and five decimals, however they are written."""
    policy = FilterPolicy('{"a": [1000000000, -1e9, 1.50000, 123456789.12345]}', "MessageBody")
    assert policy.keep('{"a": 1e9}', {})
    assert policy.keep('{"a": 123456789.12345}', {})


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.one_of(st.text("xyé😀\n*", min_size=1, max_size=5), st.integers(-9, 9), st.lists(st.sampled_from("xy"))),
    ),
    st.sampled_from("abc"),
)
def test_both_scopes_agree_on_what_both_can_say(message: dict[str, Any], name: str) -> None:
    """A message of texts, numbers and arrays of texts is the same to a policy in its attributes and in its body."""
    conditions = [
        ["x"],
        [1],
        [{"prefix": "x"}],
        [{"anything-but": ["x", "y"]}],
        [{"exists": True}],
        [{"exists": False}],
    ]
    for condition in conditions:
        policy = {name: condition}
        assert keeps(policy, message, "MessageAttributes") == keeps(policy, message, "MessageBody")


@given(st.dictionaries(st.sampled_from("ab"), st.one_of(st.text("xy", max_size=3), st.integers(0, 3)), min_size=1))
def test_what_the_languages_share_is_the_event_patterns_answer(message: dict[str, Any]) -> None:
    """Prefixes, exact values, numbers and exclusions decide as in a rule of EventBridge."""
    for condition in (["x", 1], [{"prefix": "x"}], [{"anything-but": "x"}], [{"numeric": ["<", 2]}]):
        policy = {"a": condition}
        assert keeps(policy, message, "MessageBody") == patterns.compile(policy).matches(message)
