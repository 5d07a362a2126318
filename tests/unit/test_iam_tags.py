"""Tags in policies: of roles and sessions, of resources, of requests; and that a change of them counts at once."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.contract import Permission
from localcloud.services.iam.calls import MAX_KEPT_CHARS, Authoriser, CallRecord, read_calls, recheck_calls
from localcloud.services.iam.errors import InvalidTags, NoSuchEntity, RoleNotAssumable
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Document, evaluate, parse_document
from localcloud.services.iam.tags import (
    check_tags,
    group_context,
    principal_tags,
    read_keys,
    read_tag_list,
    read_tag_map,
    request_tags,
    resource_tags,
    tag_keys,
    with_resource_tags,
)

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
WORKER = "arn:aws:iam::123456789012:role/Worker"


def document(*statements: dict[str, Any], name: str = "p", trust: bool = False) -> Document:
    return parse_document({"Version": "2012-10-17", "Statement": list(statements)}, name=name, resource_policy=trust)


def trust(*actions: str, **more: Any) -> Document:
    service = {"Service": "lambda.amazonaws.com"}
    return document({"Effect": "Allow", "Principal": service, "Action": list(actions), **more}, trust=True)


def allow(condition: Mapping[str, Any], resource: str = "*") -> Document:
    return document({"Effect": "Allow", "Action": "kinesis:*", "Resource": resource, "Condition": condition})


SAME_DOMAIN = allow({"StringEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/domain}"}})


@pytest.fixture
def iam() -> Iam:
    """One role, Worker, of the domain shop, that may do what it likes to streams of its own domain."""
    made = Iam(random.Random(7))
    made.create_role("Worker", trust("sts:AssumeRole", "sts:TagSession"), tags=[("domain", "shop")])
    made.put_inline("Worker", SAME_DOMAIN)
    return made


def may(iam: Iam, tags: Mapping[str, str], *, key: str = "", **session: str) -> bool:
    """Whether Worker may put a record into a stream with these tags."""
    key = key or iam.issue_credentials(WORKER, function_name="f", tags=session).access_key
    context = group_context(resource_tags(tags))
    return iam.decide(iam.principal_of(key), "kinesis:PutRecord", STREAM, context=context).allowed


# ---------------------------------------------------------------- the principal's


def test_a_roles_tags_are_its_sessions(iam: Iam) -> None:
    """What equals in key, in any case, and in value, in its own case, is allowed; nothing else is."""
    assert may(iam, {"domain": "shop"})
    assert may(iam, {"Domain": "shop"})
    assert not may(iam, {"domain": "Shop"})
    assert not may(iam, {"domain": "billing"})
    assert not may(iam, {"area": "shop"})
    assert not may(iam, {})


def test_a_role_without_the_tag_is_no_match_for_a_resource_without_it() -> None:
    """The variable of a missing tag equals nothing, an empty value included."""
    iam = Iam(random.Random(7))
    iam.create_role("Worker", trust("sts:AssumeRole"))
    iam.put_inline("Worker", SAME_DOMAIN)
    assert not may(iam, {})
    assert not may(iam, {"domain": ""})
    iam.tag_role("Worker", {"domain": ""})
    assert may(iam, {"domain": ""})


def test_session_tags_stand_above_the_roles(iam: Iam) -> None:
    """In whatever case their keys are written; other tags of the role stay."""
    assert may(iam, {"domain": "billing"}, DOMAIN="billing")
    assert not may(iam, {"domain": "shop"}, DOMAIN="billing")
    assert may(iam, {"domain": "shop"}, team="blue")
    assert principal_tags({"Domain": "shop", "Team": "red"}, {"domain": "billing"}) == {
        "aws:PrincipalTag/domain": "billing",
        "aws:PrincipalTag/team": "red",
    }


def test_session_tags_need_tag_session(iam: Iam) -> None:
    """Of the trust policy, which may say which tags: aws:RequestTag and aws:TagKeys are those of the session."""
    plain = iam.create_role("Plain", trust("sts:AssumeRole"))
    with pytest.raises(RoleNotAssumable, match=r"Plain lets lambda\.amazonaws\.com give its sessions no tags"):
        iam.issue_credentials(plain.arn, function_name="f", tags={"domain": "shop"})
    assert iam.issue_credentials(plain.arn, function_name="f", tags={})
    only = {"ForAllValues:StringEquals": {"aws:TagKeys": ["domain"]}, "StringLike": {"aws:RequestTag/domain": "s*"}}
    bound = iam.create_role("Bound", trust("sts:AssumeRole", "sts:TagSession", Condition=only))
    assert iam.issue_credentials(bound.arn, function_name="f", tags={"domain": "shop"})
    for tags in ({"domain": "billing"}, {"domain": "shop", "team": "blue"}, {"team": "blue"}):
        with pytest.raises(RoleNotAssumable):
            iam.issue_credentials(bound.arn, function_name="f", tags=tags)


def test_a_resource_policy_sees_the_principals_tags(iam: Iam) -> None:
    """They are of the request, whoever's policy asks."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "kinesis:*", "Resource": "*"}
    tagged = {"StringEquals": {"aws:PrincipalTag/domain": "shop"}}
    policy = document({**statement, "Condition": tagged}, trust=True)
    iam.remove_inline("Worker", "p")
    key = iam.issue_credentials(WORKER, function_name="f").access_key
    principal = iam.principal_of(key)
    assert iam.decide(principal, "kinesis:PutRecord", STREAM, resource_policy=policy).allowed
    iam.untag_role("Worker", ["DOMAIN"])
    assert not iam.decide(principal, "kinesis:PutRecord", STREAM, resource_policy=policy).allowed


def test_nobody_names_their_own_tags_in_a_request() -> None:
    """A tag of the resource or request cannot be written so that it counts as the principal's."""
    for pairs in (resource_tags({"/../aws:PrincipalTag/domain": "x"}), request_tags({"aws:PrincipalTag/domain": "x"})):
        assert not [key for key in group_context(pairs) if key.startswith("aws:PrincipalTag")]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([(f"k{number}", "v") for number in range(51)], "maximum limit of 50"),
        (
            [("Domain", "a"), ("domain", "b")],
            "Please note that Tag keys are case insensitive.",
        ),
        ([("", "v")], "1 to 128 characters"),
        ([("k" * 129, "v")], "1 to 128 characters"),
        ([("k", "v" * 257)], "at most 256"),
        ([("k*", "v")], "characters other than"),
        ([("k", "v${x}")], "characters other than"),
        ([("AWS:k", "v")], "begins with aws:"),
    ],
)
def test_tags_that_a_role_cannot_have(iam: Iam, tags: list[tuple[str, str]], message: str) -> None:
    """Nothing is tagged then; a value may be empty."""
    with pytest.raises(InvalidTags) as caught:
        iam.create_role("Other", trust("sts:AssumeRole"), tags=tags)
    assert message in str(caught.value)
    assert len(iam.roles) == 1
    assert check_tags([("kéy 1_.:/=+-@", ""), ("k" * 128, "v" * 256)])


def test_a_role_is_tagged_and_untagged(iam: Iam) -> None:
    """A key in another case is the same tag; over fifty, and for no role, nothing happens."""
    iam.tag_role("Worker", {"DOMAIN": "billing", "team": "blue"})
    assert iam.role_named("Worker").tags == {"DOMAIN": "billing", "team": "blue"}
    with pytest.raises(InvalidTags, match="maximum limit of 50"):
        iam.tag_role("Worker", {f"k{number}": "v" for number in range(49)})
    iam.untag_role("Worker", ["Team", "none"])
    assert iam.role_named("Worker").tags == {"DOMAIN": "billing"}
    for change in (lambda: iam.tag_role("Nobody", {}), lambda: iam.untag_role("Nobody", [])):
        with pytest.raises(NoSuchEntity):
            change()


# ---------------------------------------------------------------- the resource's and the request's


def test_a_key_that_two_tags_differ_in_by_case_alone_names_neither() -> None:
    """As IAM's page on global keys has it: one or the other, but not both."""
    assert resource_tags({"Team": "a", "team": "b", "domain": "shop"}) == (("aws:ResourceTag/domain", "shop"),)
    assert request_tags({"Team": "a", "team": "b"}) == (("aws:TagKeys", "Team"), ("aws:TagKeys", "team"))


def test_requests_are_read_leniently() -> None:
    """What is no tag is left to the operation, which refuses it."""
    assert read_tag_map({"a": "b", "c": 1}) == {"a": "b"}
    assert read_tag_map([1]) == read_tag_map(None) == {}
    given = [{"Key": "a", "Value": "b"}, {"Key": "c"}, {"Key": 1, "Value": "d"}, "x", None]
    assert read_tag_list(given) == {"a": "b"}
    assert read_tag_list({"Key": "a"}) == {}
    assert (read_keys(["a", 1, None]), read_keys("a")) == (["a"], [])


CASES = [
    # what a policy asks, and whether it allows with: no tag, domain=shop, domain=billing
    ({"StringEquals": {"aws:ResourceTag/domain": "shop"}}, (False, True, False)),
    ({"StringEqualsIfExists": {"aws:ResourceTag/domain": "shop"}}, (True, True, False)),
    ({"StringNotEquals": {"aws:ResourceTag/domain": "shop"}}, (True, False, True)),
    ({"StringLike": {"aws:ResourceTag/domain": "*"}}, (False, True, True)),
    ({"Null": {"aws:ResourceTag/domain": "true"}}, (True, False, False)),
    ({"Null": {"aws:ResourceTag/domain": "false"}}, (False, True, True)),
    ({"StringEquals": {"AWS:resourcetag/DOMAIN": "shop"}}, (False, True, False)),
    ({"StringEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/domain}"}}, (False, True, False)),
    ({"StringEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/team}"}}, (False, False, False)),
    ({"StringEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/team, 'billing'}"}}, (False, False, True)),
    ({"StringEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/domain, 'billing'}"}}, (False, True, False)),
    ({"StringEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/team, billing}"}}, (False, False, False)),
    # "Policy variables with no value": there is no equal value, so that an inverted operator matches
    ({"StringNotEquals": {"aws:ResourceTag/domain": "${aws:PrincipalTag/team}"}}, (True, True, True)),
    ({"StringEquals": {"aws:ResourceTag/domain": ["x", "${aws:PrincipalTag/domain}"]}}, (False, True, False)),
]


@pytest.mark.parametrize(("condition", "allowed"), CASES)
def test_a_condition_on_a_resources_tags(iam: Iam, condition: Mapping[str, Any], allowed: tuple[bool, ...]) -> None:
    """A missing key meets no condition but those that say so; a variable without a value equals nothing."""
    iam.put_inline("Worker", allow(condition))
    assert tuple(may(iam, tags) for tags in ({}, {"domain": "shop"}, {"domain": "billing"})) == allowed


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        ("arn:aws:kinesis:*:*:stream/${aws:PrincipalTag/domain}-*", True),
        ("arn:aws:kinesis:*:*:stream/${aws:PrincipalTag/team}-*", False),
        ("arn:aws:kinesis:*:*:stream/${aws:PrincipalTag/team, 'shop'}-*", True),
        ("arn:aws:kinesis:*:*:stream/${aws:PrincipalTag/domain, 'billing'}-*", True),
        ("arn:aws:kinesis:*:*:stream/${aws:PrincipalTag/team, 'billing'}-*", False),
    ],
)
def test_a_tag_in_a_resource_element(iam: Iam, resource: str, *, allowed: bool) -> None:
    """A variable without a value makes it cover nothing; a default is taken where there is none."""
    iam.put_inline("Worker", document({"Effect": "Allow", "Action": "kinesis:*", "Resource": resource}))
    principal = iam.principal_of(iam.issue_credentials(WORKER, function_name="f").access_key)
    assert iam.decide(principal, "kinesis:PutRecord", STREAM.replace("/s", "/shop-1")).allowed is allowed


@given(st.text(st.sampled_from("*?ab"), max_size=6), st.text(st.sampled_from("*?ab"), max_size=6))
def test_a_wildcard_in_a_tag_is_a_character(role: str, stream: str) -> None:
    """Whoever may tag a role with `*` gains nothing by it: equal is equal, in StringLike too."""
    condition = {"StringLike": {"aws:ResourceTag/domain": "${aws:PrincipalTag/domain}"}}
    context = {"aws:ResourceTag/domain": stream, "aws:PrincipalTag/domain": role}
    assert evaluate([allow(condition)], "kinesis:PutRecord", STREAM, context=context).allowed is (role == stream)


KEYS = st.lists(st.sampled_from(["domain", "team", "cost"]), unique=True)


@given(KEYS, KEYS)
def test_tag_keys_are_a_set_of_their_own(given_keys: list[str], known: list[str]) -> None:
    """ForAllValues: all are among the policy's, also where there are none; ForAnyValue: one is."""
    context = group_context(tag_keys(given_keys))

    def told(over: str) -> bool:
        condition = {f"{over}:StringEquals": {"aws:TagKeys": known}}
        return evaluate([allow(condition)], "kinesis:TagResource", STREAM, context=context).allowed

    assert told("ForAllValues") is set(known).issuperset(given_keys)
    assert told("ForAnyValue") is bool(set(known) & set(given_keys))


# ---------------------------------------------------------------- what is kept


def test_a_changed_tag_counts_at_the_next_call(iam: Iam) -> None:
    """Of the stream and of the role, though what was decided before is kept."""
    authorise = Authoriser(iam, CallRecord())
    key = iam.issue_credentials(WORKER, function_name="f").access_key
    tags = {"domain": "shop"}

    def told() -> bool:
        needed = with_resource_tags((Permission("kinesis:PutRecord", STREAM),), lambda _action, _arn: tags)
        return authorise(key, needed) is None

    assert (told(), told()) == (True, True)
    tags["domain"] = "billing"
    assert not told()
    iam.tag_role("Worker", {"domain": "billing"})
    assert told()
    iam.untag_role("Worker", ["domain"])
    assert not told()


def test_a_record_is_held_against_the_tags_of_now(iam: Iam) -> None:
    """Of the role always; of the resource where they are told. A session's own tags are in the record."""
    record = CallRecord()
    key = iam.issue_credentials(WORKER, function_name="f", tags={"domain": "billing"}).access_key
    needed = Permission("kinesis:PutRecord", STREAM, resource_tags({"domain": "billing", "level": "public"}))
    assert Authoriser(iam, record)(key, (needed,)) is None
    (call,) = read_calls("\n".join(_lines(record)))
    assert call == next(iter(record))
    assert recheck_calls([call], iam) == []
    assert recheck_calls([call], iam, tags_of=lambda _action, _arn: None) == []
    assert recheck_calls([call], iam, tags_of=lambda _action, _arn: {"domain": "shop"}) == [call]
    assert recheck_calls([call], iam, tags_of=lambda _action, _arn: {}) == [call]
    plain = replace(call, session_tags=())
    assert recheck_calls([plain], iam) == [plain]
    iam.tag_role("Worker", {"domain": "billing"})
    assert recheck_calls([plain], iam) == []


def _lines(record: CallRecord) -> list[str]:
    return [json.dumps(asdict(call)) for call in record]


def test_a_request_with_very_many_tags_is_decided_and_not_kept(iam: Iam) -> None:
    """The operation will refuse it; neither decisions nor the record grow with it."""
    record = CallRecord()
    authorise = Authoriser(iam, record)
    key = iam.issue_credentials(WORKER, function_name="f").access_key
    iam.put_inline("Worker", allow({"ForAnyValue:StringEquals": {"aws:TagKeys": "first"}}))
    many = tag_keys(["first", *(f"k{number}" for number in range(MAX_KEPT_CHARS))])
    assert authorise(key, (Permission("kinesis:TagResource", STREAM, many),)) is None
    assert authorise(key, (Permission("kinesis:TagResource", STREAM, many[1:]),)) is not None
    fits = (*many[:1], ("k", "v" * (MAX_KEPT_CHARS - len("aws:TagKeysfirstk"))))
    assert authorise(key, (Permission("kinesis:TagResource", STREAM, fits),)) is None
    assert [call.context for call in record] == [(), (), fits]
