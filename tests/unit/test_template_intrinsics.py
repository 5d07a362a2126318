"""Every intrinsic function, over a scope with parameters, mappings, conditions and resources."""

from __future__ import annotations

import base64
import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, StackContext
from localcloud.template.intrinsics import evaluate_condition, resolve, resolve_known
from localcloud.template.scope import NotYet, Scope

CONTEXT = StackContext("stack", "eu-west-1", "123456789012", "aws", Path())


def make_scope(**changes: object) -> Scope:
    """A scope in which every kind of name means something."""
    values: dict = {
        "context": CONTEXT,
        "parameters": {"Env": "dev", "Zone": "", "Count": "3", "Subnets": ["s1", "s2", "s3"]},
        "mappings": {"Sizes": {"dev": {"Memory": 128, "Hosts": ["h1", "h2"]}, "prod": {"Memory": 1024}}},
        "conditions": {
            "IsDev": {"Fn::Equals": [{"Ref": "Env"}, "dev"]},
            "IsProd": {"Fn::Not": [{"Condition": "IsDev"}]},
            "Both": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
            "Either": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
            "Three": {"Fn::Equals": [{"Ref": "Count"}, 3]},
            "Mapped": {"Fn::Equals": [{"Fn::FindInMap": ["Sizes", {"Ref": "Env"}, "Memory"]}, "128"]},
            "SameList": {"Fn::Equals": [{"Ref": "Subnets"}, ["s1", "s2", "s3"]]},
            "CircleA": {"Condition": "CircleB"},
            "CircleB": {"Fn::Not": [{"Condition": "CircleA"}]},
            "OnResource": {"Fn::Equals": [{"Ref": "Queue"}, "x"]},
        },
        "resources": {"Queue": "AWS::SQS::Queue", "Later": "AWS::SQS::Queue"},
        "physical": {"Queue": Physical("https://q", {"Arn": "arn:aws:sqs:eu-west-1:1:q", "Nested.Name": "n", "No": 7})},
        "exports": {"shared-topic": "arn:topic"},
        "extensions": True,
    }
    return Scope(**(values | changes))


NO_VALUE = {"Ref": "AWS::NoValue"}

RESOLVED = [
    # plain values
    ("x", "x"),
    (5, 5),
    (None, None),
    (True, True),
    ({"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}),
    ({"Ref": "Env", "other": 1}, {"Ref": "Env", "other": 1}),
    # Ref
    ({"Ref": "Env"}, "dev"),
    ({"Ref": "Count"}, "3"),
    ({"Ref": "Subnets"}, ["s1", "s2", "s3"]),
    ({"Ref": "Queue"}, "https://q"),
    ({"Ref": "AWS::Region"}, "eu-west-1"),
    ({"Ref": "AWS::AccountId"}, "123456789012"),
    ({"Ref": "AWS::Partition"}, "aws"),
    ({"Ref": "AWS::StackName"}, "stack"),
    ({"Ref": "AWS::URLSuffix"}, "amazonaws.com"),
    ({"Ref": "AWS::NotificationARNs"}, []),
    # NoValue leaves out properties and items
    ({"a": NO_VALUE, "b": 1}, {"b": 1}),
    ([1, NO_VALUE, 2], [1, 2]),
    ({"a": {"Fn::If": ["IsProd", "x", NO_VALUE]}}, {}),
    # GetAtt
    ({"Fn::GetAtt": ["Queue", "Arn"]}, "arn:aws:sqs:eu-west-1:1:q"),
    ({"Fn::GetAtt": "Queue.Arn"}, "arn:aws:sqs:eu-west-1:1:q"),
    ({"Fn::GetAtt": ["Queue", "Nested.Name"]}, "n"),
    ({"Fn::GetAtt": ["Queue", "Nested", "Name"]}, "n"),
    ({"Fn::GetAtt": ["Queue", {"Fn::Sub": "Arn"}]}, "arn:aws:sqs:eu-west-1:1:q"),
    ({"Fn::GetAtt": ["Queue", "No"]}, 7),
    # Sub
    ({"Fn::Sub": "plain"}, "plain"),
    ({"Fn::Sub": "${Env}-${AWS::Region}-${Queue}-${Queue.Arn}"}, "dev-eu-west-1-https://q-arn:aws:sqs:eu-west-1:1:q"),
    ({"Fn::Sub": "${Queue.Nested.Name}"}, "n"),
    ({"Fn::Sub": "${!Env} ${!x.y}"}, "${Env} ${x.y}"),
    ({"Fn::Sub": "$Env $${Env} {Env}"}, "$Env $dev {Env}"),
    ({"Fn::Sub": ["${a}/${Env}", {"a": {"Ref": "Count"}}]}, "3/dev"),
    ({"Fn::Sub": ["${Env}", {"Env": "mine"}]}, "mine"),
    ({"Fn::Sub": ["${a}", {"a": 5}]}, "5"),
    ({"Fn::Sub": ["${a.b}", {"a.b": "dotted"}]}, "dotted"),
    ({"Fn::Sub": ["none", {"unused": "x"}]}, "none"),
    # Join, Split, Select
    ({"Fn::Join": [",", ["a", {"Ref": "Env"}, 3, True]]}, "a,dev,3,true"),
    ({"Fn::Join": ["", []]}, ""),
    ({"Fn::Join": ["|", {"Ref": "Subnets"}]}, "s1|s2|s3"),
    ({"Fn::Join": ["-", ["a", NO_VALUE, "b"]]}, "a-b"),
    ({"Fn::Split": ["/", "a/b//c"]}, ["a", "b", "", "c"]),
    ({"Fn::Split": [":", {"Fn::GetAtt": "Queue.Arn"}]}, ["arn", "aws", "sqs", "eu-west-1", "1", "q"]),
    ({"Fn::Select": [1, ["a", "b"]]}, "b"),
    ({"Fn::Select": ["0", {"Ref": "Subnets"}]}, "s1"),
    ({"Fn::Select": [{"Ref": "Count"}, {"Fn::Split": [":", {"Fn::GetAtt": "Queue.Arn"}]}]}, "eu-west-1"),
    # If
    ({"Fn::If": ["IsDev", "yes", "no"]}, "yes"),
    ({"Fn::If": ["IsProd", "yes", {"Ref": "Env"}]}, "dev"),
    ({"Fn::If": ["IsDev", "yes", {"Ref": "Nothing"}]}, "yes"),
    ({"Fn::If": ["Both", 1, {"Fn::If": ["Either", 2, 3]}]}, 2),
    ({"Fn::If": ["Three", {"a": [{"Ref": "Env"}]}, 0]}, {"a": ["dev"]}),
    ({"Fn::If": ["Mapped", 1, 0]}, 1),
    ({"Fn::If": ["SameList", 1, 0]}, 1),
    # FindInMap
    ({"Fn::FindInMap": ["Sizes", "prod", "Memory"]}, 1024),
    ({"Fn::FindInMap": ["Sizes", {"Ref": "Env"}, "Hosts"]}, ["h1", "h2"]),
    ({"Fn::FindInMap": ["Sizes", "test", "Memory", {"DefaultValue": {"Ref": "Count"}}]}, "3"),
    ({"Fn::FindInMap": ["Sizes", "dev", "Memory", {"DefaultValue": 1}]}, 128),
    # Base64, Cidr, AZs, ImportValue
    ({"Fn::Base64": "héllo"}, base64.b64encode("héllo".encode()).decode()),
    ({"Fn::Base64": {"Fn::Sub": "${Env}"}}, "ZGV2"),
    ({"Fn::Cidr": ["192.168.0.0/24", 6, 5]}, [f"192.168.0.{n}/27" for n in (0, 32, 64, 96, 128, 160)]),
    ({"Fn::Cidr": ["10.0.0.0/16", "2", "8"]}, ["10.0.0.0/24", "10.0.1.0/24"]),
    ({"Fn::Cidr": ["2001:db8::/56", 2, 64]}, ["2001:db8::/64", "2001:db8:0:1::/64"]),
    ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
    ({"Fn::GetAZs": "us-east-2"}, ["us-east-2a", "us-east-2b", "us-east-2c"]),
    ({"Fn::GetAZs": {"Ref": "AWS::Region"}}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
    ({"Fn::ImportValue": {"Fn::Sub": "shared-topic"}}, "arn:topic"),
    # language extensions
    ({"Fn::Length": ["a", "b"]}, 2),
    ({"Fn::Length": {"Ref": "Subnets"}}, 3),
    ({"Fn::ToJsonString": {"a": {"Ref": "Env"}, "n": 1, "x": NO_VALUE}}, '{"a":"dev","n":1}'),
    ({"Fn::ToJsonString": ["é", True]}, '["é",true]'),
]


@pytest.mark.parametrize(("value", "expected"), RESOLVED, ids=lambda value: json.dumps(value)[:60])
def test_each_function_gives_what_cloudformation_gives(value: object, expected: object) -> None:
    """The table of every function in every form."""
    assert resolve(value, make_scope(), "R") == expected


REFUSED = [
    ({"Ref": "Nothing"}, "R.Ref: Nothing is no parameter, and no resource of this stack"),
    ({"Ref": ["a"]}, "R.Ref: takes the name of a parameter or resource"),
    ({"Ref": ""}, "R.Ref: takes the name of a parameter or resource"),
    ({"Fn::GetAtt": ["Queue"]}, "R.Fn::GetAtt: takes two non-empty parameters"),
    ({"Fn::GetAtt": ["Queue", ""]}, "R.Fn::GetAtt: takes two non-empty parameters"),
    ({"Fn::GetAtt": "Queue"}, "R.Fn::GetAtt: takes two non-empty parameters"),
    ({"Fn::GetAtt": [{"Ref": "Env"}, "Arn"]}, "R.Fn::GetAtt: the name of the resource must be text"),
    ({"Fn::GetAtt": ["Env", "Arn"]}, "R.Fn::GetAtt: Env is a parameter, it has no attribute Arn"),
    ({"Fn::GetAtt": ["Nothing", "Arn"]}, "R.Fn::GetAtt: Nothing is no parameter, and no resource"),
    (
        {"Fn::GetAtt": ["Queue", "Name"]},
        "R.Fn::GetAtt: Queue (AWS::SQS::Queue) has no attribute Name here (known: Arn, Nested.Name, No)",
    ),
    ({"Fn::Sub": ["a"]}, "R.Fn::Sub: takes a list of 2 arguments"),
    ({"Fn::Sub": [{"Ref": "Env"}, {}]}, "R.Fn::Sub: takes text, or text and a map of variables"),
    ({"Fn::Sub": "${ Env }"}, "R.Fn::Sub: ${ Env }: a variable name has letters, digits"),
    ({"Fn::Sub": "${}"}, "R.Fn::Sub: ${}: a variable name has letters, digits"),
    ({"Fn::Sub": "${Nothing.Arn}"}, "R.Fn::Sub: Nothing is no parameter"),
    ({"Fn::Sub": "${Subnets}"}, "R.Fn::Sub: ${Subnets} is no text"),
    ({"Fn::Sub": ["${a}", {"a": {"Ref": "Subnets"}}]}, "R.Fn::Sub.a: must be text"),
    ({"Fn::Join": ["-"]}, "R.Fn::Join: takes a list of 2 arguments"),
    ({"Fn::Join": [{"Ref": "Env"}, []]}, "R.Fn::Join: the delimiter must be literal text"),
    ({"Fn::Join": ["-", "abc"]}, "R.Fn::Join: must be a list"),
    ({"Fn::Join": ["-", ["a", ["b"]]]}, "R.Fn::Join[1]: must be text"),
    ({"Fn::Split": ["", "abc"]}, "R.Fn::Split: the delimiter must be literal, non-empty text"),
    ({"Fn::Split": [",", ["a"]]}, "R.Fn::Split: must be text"),
    ({"Fn::Select": [3, ["a"]]}, "R.Fn::Select: cannot select item 3 of a list of 1"),
    ({"Fn::Select": [-1, ["a"]]}, "R.Fn::Select[0]: must be a whole number, is '-1'"),
    ({"Fn::Select": ["x", ["a"]]}, "R.Fn::Select[0]: must be a whole number, is 'x'"),
    ({"Fn::Select": [0, "a"]}, "R.Fn::Select[1]: must be a list"),
    ({"Fn::If": ["IsDev", 1]}, "R.Fn::If: takes a list of 3 arguments"),
    ({"Fn::If": [{"Condition": "IsDev"}, 1, 2]}, "R.Fn::If: the first argument must be the name of a condition"),
    ({"Fn::If": ["Nope", 1, 2]}, "R.Fn::If: there is no condition Nope"),
    ({"Fn::If": ["CircleA", 1, 2]}, "Conditions.CircleB.Fn::Not[0].Condition: the condition CircleA depends on itself"),
    ({"Fn::If": ["OnResource", 1, 2]}, "Conditions.OnResource.Fn::Equals[0].Ref: Queue is no parameter"),
    ({"Fn::FindInMap": ["Sizes", "test", "Memory"]}, "R.Fn::FindInMap: unable to get mapping for Sizes::test::Memory"),
    ({"Fn::FindInMap": ["Nope", "a", "b"]}, "R.Fn::FindInMap: unable to get mapping for Nope::a::b"),
    ({"Fn::FindInMap": ["Sizes", "dev"]}, "R.Fn::FindInMap: takes a list of 3 to 4 arguments"),
    ({"Fn::Cidr": ["10.0.0.0/24", 2]}, "R.Fn::Cidr: takes a list of 3 arguments"),
    ({"Fn::Cidr": ["10.0.0.0/24", 3, 7]}, "R.Fn::Cidr: 10.0.0.0/24 does not hold 3 blocks of 7 bits"),
    ({"Fn::Cidr": ["10.0.0.0/8", 257, 8]}, "R.Fn::Cidr: 10.0.0.0/8 does not hold 257 blocks"),
    ({"Fn::Cidr": ["10.0.0.0/8", 0, 8]}, "R.Fn::Cidr: 10.0.0.0/8 does not hold 0 blocks"),
    ({"Fn::Cidr": ["nonsense", 1, 8]}, "R.Fn::Cidr: 'nonsense' does not appear to be"),
    ({"Fn::ImportValue": "nope"}, "R.Fn::ImportValue: no export named nope found"),
    ({"Fn::Base64": ["x"]}, "R.Fn::Base64: must be text"),
    ({"Fn::Length": "abc"}, "R.Fn::Length: must be a list"),
    ({"Fn::ToJsonString": "abc"}, "R.Fn::ToJsonString: takes a map or a list"),
    ({"Fn::Equals": [1, 1]}, "R.Fn::Equals: stands in the Conditions section only"),
    ({"Fn::Transform": {"Name": "Mine"}}, "R.Fn::Transform: the macro Mine is not served here"),
    ({"Fn::Nonsense": 1}, "R.Fn::Nonsense: Fn::Nonsense is not served here"),
    ({"a": {"Fn::Sub": "x", "b": 1}}, "R.a: Fn::Sub must be the only key of its map"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_nonsense_is_named_with_its_path(value: object, message: str) -> None:
    """Every wrong use ends in a TemplateError that starts with the path inside the template."""
    with pytest.raises(TemplateError) as caught:
        resolve(value, make_scope(), "R")
    assert str(caught.value)[: len(message)] == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Fn::Length": []}, "R.Fn::Length: Fn::Length needs Transform: AWS::LanguageExtensions"),
        ({"Fn::ToJsonString": []}, "R.Fn::ToJsonString: Fn::ToJsonString needs Transform: AWS::LanguageExtensions"),
        (
            {"Fn::FindInMap": ["Sizes", "x", "y", {"DefaultValue": 1}]},
            "R.Fn::FindInMap: DefaultValue needs Transform: AWS::LanguageExtensions",
        ),
    ],
)
def test_language_extensions_must_be_declared(value: object, message: str) -> None:
    """As in CloudFormation, where the macro does the work."""
    with pytest.raises(TemplateError) as caught:
        resolve(value, make_scope(extensions=False), "R")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("IsDev", "C: must be one of Fn::And"),
        ({"Fn::And": [{"Condition": "IsDev"}]}, "C.Fn::And: takes a list of 2 to 10 arguments"),
        ({"Fn::Or": [{"Condition": "IsDev"}] * 11}, "C.Fn::Or: takes a list of 2 to 10 arguments"),
        ({"Fn::Not": [{"Condition": "IsDev"}] * 2}, "C.Fn::Not: takes a list of 1 arguments"),
        ({"Fn::Equals": [1]}, "C.Fn::Equals: takes a list of 2 arguments"),
        ({"Condition": ["IsDev"]}, "C.Condition: takes the name of a condition"),
        ({"Fn::If": ["IsDev", 1, 2]}, "C.Fn::If: Fn::If is no condition function"),
    ],
)
def test_wrong_conditions_are_named(condition: object, message: str) -> None:
    """Conditions have functions of their own and their own bounds."""
    with pytest.raises(TemplateError) as caught:
        evaluate_condition(condition, make_scope(), "C")
    assert str(caught.value)[: len(message)] == message


def test_a_dynamic_reference_is_answered_where_something_can() -> None:
    """`{{resolve:service:key}}` inside any text, by the resolver of the scope."""
    scope = make_scope(secrets=lambda service, key: f"<{service}|{key}>")
    value = {"a": "x {{resolve:ssm:/p:1}} {{resolve:secretsmanager:s:SecretString:pw}}"}
    assert resolve(value, scope, "R") == {"a": "x <ssm|/p:1> <secretsmanager|s:SecretString:pw>"}


def test_a_resource_that_is_not_made_yet_is_no_error() -> None:
    """`resolve` says which resource it waits for."""
    for value in ({"Ref": "Later"}, {"Fn::GetAtt": "Later.Arn"}, {"Fn::Sub": "x${Later.Arn}"}):
        with pytest.raises(NotYet) as caught:
            resolve(value, make_scope(), "R")
        assert caught.value.logical_id == "Later"


def test_what_is_known_is_resolved_and_the_rest_stays() -> None:
    """`resolve_known` takes branches and leaves functions that wait for a resource as written."""
    waits = {"Fn::Join": ["/", [{"Ref": "Later"}, {"Ref": "Env"}]]}
    value = {"a": {"Ref": "Env"}, "b": waits, "c": {"Fn::If": ["IsProd", 1, waits]}, "d": [NO_VALUE, {"Ref": "Later"}]}
    assert resolve_known(value, make_scope(), "R") == {"a": "dev", "b": waits, "c": waits, "d": [{"Ref": "Later"}]}


TEXT = st.text(st.characters(blacklist_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc ${}!.:é", max_size=8).filter(lambda t: "{{" not in t),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcR", min_size=1, max_size=4), inner),
    max_leaves=20,
)


@given(JSON)
def test_values_without_functions_are_left_as_they_are(value: object) -> None:
    """Text that looks like a substitution is only one inside Fn::Sub."""
    assert resolve(value, make_scope(), "R") == value


@given(st.lists(TEXT.filter(lambda text: "|" not in text and "{{" not in text), min_size=1))
def test_split_undoes_join(parts: list[str]) -> None:
    """For any texts that do not hold the delimiter."""
    joined = {"Fn::Join": ["|", parts]}
    assert resolve({"Fn::Split": ["|", joined]}, make_scope(), "R") == parts


@given(TEXT.filter(lambda text: "{{" not in text))
def test_sub_puts_any_text_in_unchanged(text: str) -> None:
    """A variable's value is not read again: `${Env}` inside it stays."""
    assert resolve({"Fn::Sub": ["<${v}>", {"v": text}]}, make_scope(), "R") == f"<{text}>"


@given(TEXT.filter(lambda text: "{{" not in text))
def test_base64_can_be_read_back(text: str) -> None:
    """UTF-8 inside."""
    assert base64.b64decode(resolve({"Fn::Base64": text}, make_scope(), "R")).decode() == text


@given(st.integers(8, 24), st.integers(0, 8), st.integers(1, 256))
def test_cidr_blocks_lie_in_the_block_and_apart(prefix: int, bits: int, count: int) -> None:
    """Every block has the asked size, lies inside, and overlaps none; too many are refused."""
    host_bits = 32 - prefix - bits
    value = {"Fn::Cidr": [f"10.0.0.0/{prefix}", count, host_bits]}
    if count > 2**bits:
        with pytest.raises(TemplateError):
            resolve(value, make_scope(), "R")
        return
    found = [ipaddress.ip_network(block) for block in resolve(value, make_scope(), "R")]
    assert len(set(found)) == count
    assert {block.prefixlen for block in found} == {32 - host_bits}
    assert all(block.subnet_of(ipaddress.ip_network(f"10.0.0.0/{prefix}")) for block in found)
    assert sum(block.num_addresses for block in ipaddress.collapse_addresses(found)) == count * 2**host_bits


@given(st.integers(min_value=0, max_value=12), st.lists(TEXT.filter(lambda text: "{{" not in text), max_size=10))
def test_select_is_an_index_from_zero(index: int, items: list[str]) -> None:
    """Inside the list the item, outside it an error."""
    value = {"Fn::Select": [str(index), items]}
    if index < len(items):
        assert resolve(value, make_scope(), "R") == items[index]
    else:
        with pytest.raises(TemplateError):
            resolve(value, make_scope(), "R")


def test_variables_of_sub_inside_each_other_do_not_multiply() -> None:
    """Each is worked out once, however often it is named; and a text has an end."""
    value: object = "x"
    for _ in range(60):
        value = {"Fn::Sub": ["${A}" * 10, {"A": value}]}
    with pytest.raises(TemplateError, match="makes a text of more than 1048576 characters"):
        resolve(value, make_scope(), "P")
    value = ""
    for _ in range(60):
        value = {"Fn::Sub": ["${A}${A}", {"A": value}]}
    assert not resolve(value, make_scope(), "P")
