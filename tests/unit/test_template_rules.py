"""The Rules of a template say what its parameters must be together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.source import Source, read_template
from localcloud.template.stack import Settled, prepare_stack, stack_context

PARAMETERS = {
    "Tier": {"Type": "String", "Default": "single"},
    "Other": {"Type": "String", "Default": ""},
    "Zones": {"Type": "CommaDelimitedList", "Default": "a,b"},
    "Count": {"Type": "Number", "Default": 3},
}
HAS_OTHER = {"Fn::Not": [{"Fn::Equals": [{"Ref": "Other"}, ""]}]}


def prepare(rule: Any, **given: str) -> None:
    body = {
        "Parameters": PARAMETERS,
        "Rules": {"Pair": rule},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    prepare_stack(Source(Path("template.yaml"), body), stack_context(Path()), Settled(parameters=given))


def test_an_assertion_that_does_not_hold_is_told_in_its_own_words() -> None:
    """Only where the rule's condition holds."""
    rule = {
        "RuleCondition": {"Fn::Equals": [{"Ref": "Tier"}, "home"]},
        "Assertions": [{"Assert": HAS_OTHER, "AssertDescription": "home has another Region"}],
    }
    prepare(rule)
    prepare(rule, Tier="home", Other="us-west-2")
    with pytest.raises(TemplateError, match=r"home has another Region") as caught:
        prepare(rule, Tier="home")
    assert "Rules.Pair.Assertions.0" in str(caught.value)


@pytest.mark.parametrize(
    ("assertion", "holds"),
    [
        ({"Fn::Contains": [["single", "home"], {"Ref": "Tier"}]}, True),
        ({"Fn::Contains": [["home"], {"Ref": "Tier"}]}, False),
        ({"Fn::EachMemberIn": [{"Ref": "Zones"}, ["a", "b", "c"]]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "Zones"}, ["a", "c"]]}, False),
        ({"Fn::EachMemberEquals": [["single", "single"], {"Ref": "Tier"}]}, True),
        ({"Fn::EachMemberEquals": [{"Ref": "Zones"}, "a"]}, False),
        ({"Fn::Equals": [{"Ref": "Count"}, "3"]}, True),
        ({"Fn::And": [{"Fn::Equals": ["a", "a"]}, {"Fn::Equals": ["a", "b"]}]}, False),
        ({"Fn::Or": [{"Fn::Equals": ["a", "a"]}, {"Fn::Equals": ["a", "b"]}]}, True),
        ({"Fn::Not": [{"Fn::Equals": ["a", "a"]}]}, False),
    ],
)
def test_each_function_says_what_it_says_in_cloudformation(assertion: Any, *, holds: bool) -> None:
    """Of text, lists and numbers, which are text."""
    rule = {"Assertions": [{"Assert": assertion}]}
    if holds:
        prepare(rule)
        return
    with pytest.raises(TemplateError, match="do not fit together"):
        prepare(rule)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ([], "must be a map"),
        ({"Assertions": []}, "needs a list of assertions"),
        ({"Assertions": [{}]}, "is needed"),
        ({"Assertions": [{"Assert": True}]}, "must be one rule function"),
        ({"Assertions": [{"Assert": HAS_OTHER}], "Then": 1}, "Then is no member"),
        ({"Assertions": [{"Assert": {"Fn::Join": ["", []]}}]}, "Fn::Join is no rule function"),
        ({"Assertions": [{"Assert": {"Condition": "C"}}]}, "Condition is no rule function"),
        ({"Assertions": [{"Assert": {"Fn::ValueOf": ["Other", "Tags"]}}]}, "is not served here"),
        (
            {"Assertions": [{"Assert": {"Fn::Equals": [{"Fn::RefAll": "AWS::EC2::VPC::Id"}, "a"]}}]},
            "is not served here",
        ),
        (
            {"Assertions": [{"Assert": {"Fn::Equals": [{"Fn::Join": ["", ["a"]]}, "a"]}}]},
            "Fn::Join is not served in a rule",
        ),
        (
            {"Assertions": [{"Assert": {"Fn::Contains": [["a", {"Fn::Sub": "${Other}"}], "a"]}}]},
            "Fn::Sub is not served in a rule",
        ),
        ({"Assertions": [{"Assert": {"Fn::Equals": [{"a": "b"}, "a"]}}]}, "A map is not served in a rule"),
        ({"Assertions": [{"Assert": {"Fn::Not": []}}]}, "takes a list of 1"),
        ({"Assertions": [{"Assert": {"Fn::And": [HAS_OTHER]}}]}, "takes a list of 2 to 10"),
        ({"Assertions": [{"Assert": {"Fn::Equals": [{"Ref": "Queue"}, "a"]}}]}, "Queue is no parameter"),
    ],
)
def test_what_is_no_rule_is_refused_by_its_place(rule: Any, says: str) -> None:
    """And what asks an account for its VPCs and keys."""
    with pytest.raises(TemplateError, match=says) as caught:
        prepare(rule)
    assert "Rules.Pair" in str(caught.value)


# ------------------------------------------------------------ this project's own

OWN = read_template(Path(__file__).resolve().parents[2] / "template.yaml").body
HOME = {
    "SharedIdempotencyTable": "keys",
    "OtherRegion": "us-west-2",
    "RegionGroup": "shop",
    "TermsTable": "terms",
    "TermsRegion": "us-east-2",
}


def settle_own(**given: str) -> None:
    body = {name: OWN[name] for name in ("Parameters", "Rules")} | {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    needed = {"TokenIssuer": "https://issuer.example", "TokenKeys": '{"keys": []}'}
    prepare_stack(Source(Path("template.yaml"), body), stack_context(Path()), Settled(parameters=needed | given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"IdempotencyTier": "home", **HOME},
        {"IdempotencyTier": "home", **HOME, "OtherRegion": "eusc-de-east-1"},
        {"IdempotencyTier": "strong", "SharedIdempotencyTable": "keys", "JobAfterCrash": "doubt"},
        {"IdempotencyTier": "sink"},
    ],
)
def test_a_tier_with_what_it_needs_is_taken(given: dict[str, str]) -> None:
    """Of each tier of keys."""
    settle_own(**given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"SharedIdempotencyTable": "keys"}, "The tier single has a table of its own"),
        ({"OtherRegion": "us-west-2"}, "The tier single has no OtherRegion"),
        ({"IdempotencyTier": "strong"}, "The tier strong has a SharedIdempotencyTable"),
        ({"IdempotencyTier": "sink", "JobAfterCrash": "doubt"}, "In the tier sink JobAfterCrash is rerun"),
        *(({"IdempotencyTier": "home", **HOME, name: ""}, f"The tier home has an? {name}") for name in HOME),
    ],
)
def test_a_tier_that_two_regions_would_not_share_is_refused(given: dict[str, str], says: str) -> None:
    """A table that both have under a tier that decides nothing between them, and a tier without what it needs."""
    with pytest.raises(TemplateError, match=says):
        settle_own(**given)
