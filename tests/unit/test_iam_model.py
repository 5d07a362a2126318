"""Roles, credentials and decisions, and the record of calls."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from localcloud.services.contract import Authorise, Denied, Permission
from localcloud.services.iam.calls import Authoriser, Call, CallRecord, read_calls, recheck_calls
from localcloud.services.iam.errors import NoSuchEntity, RoleNotAssumable
from localcloud.services.iam.managed import SAM_POLICIES, read_managed_policy
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Document, Outcome, evaluate, parse_document

QUEUE = "arn:aws:sqs:us-east-1:123456789012:jobs"
OTHER = "arn:aws:sqs:us-east-1:123456789012:other"


def _document(name: str, *statements: dict, trust: bool = False) -> Document:
    return parse_document({"Version": "2012-10-17", "Statement": list(statements)}, name=name, resource_policy=trust)


TRUST = _document(
    "trust",
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    trust=True,
)
SEND = _document("send", {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE})
DENY_OTHER = _document("deny", {"Effect": "Deny", "Action": "sqs:*", "Resource": OTHER})
ALL_SQS = _document("all", {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"})


@pytest.fixture
def iam() -> Iam:
    """One role, Worker, that may send to one queue."""
    iam = Iam(random.Random(7))
    iam.create_role("Worker", TRUST)
    iam.put_inline("Worker", SEND)
    return iam


WORKER = "arn:aws:iam::123456789012:role/Worker"


def test_credentials_look_like_those_of_sts(iam: Iam) -> None:
    """ASIA and 16 characters, a secret of 40; every issue is another; the same seed gives the same."""
    first = iam.issue_credentials(WORKER, function_name="fn")
    second = iam.issue_credentials(WORKER, function_name="fn")
    assert (first.access_key[:4], len(first.access_key), len(first.secret_key)) == ("ASIA", 20, 40)
    assert first.access_key != second.access_key
    assert iam.credentials_of(first.access_key) == first
    again = Iam(random.Random(7))
    again.create_role("Worker", TRUST)
    assert again.issue_credentials(WORKER, function_name="fn") == first


def test_a_key_names_its_session_and_any_other_key_is_root(iam: Iam) -> None:
    """A developer's own keys are the account's root user: nothing binds them."""
    key = iam.issue_credentials(WORKER, function_name="fn").access_key
    assert iam.principal_of(key).arn == "arn:aws:sts::123456789012:assumed-role/Worker/fn"
    root = iam.principal_of("AKIAIOSFODNN7EXAMPLE")
    assert (root.arn, root.is_root) == ("arn:aws:iam::123456789012:root", True)
    assert iam.decide(root, "anything:AtAll", "*").allowed


def test_only_the_trusted_service_assumes_a_role(iam: Iam) -> None:
    """As Lambda and API Gateway find out when they are given a role."""
    with pytest.raises(RoleNotAssumable, match=r"The role Worker cannot be assumed by apigateway\.amazonaws\.com"):
        iam.issue_credentials(WORKER, function_name="api", service="apigateway.amazonaws.com")
    with pytest.raises(NoSuchEntity, match="role/Nobody cannot be found"):
        iam.issue_credentials("arn:aws:iam::123456789012:role/Nobody", function_name="fn")


def test_a_deleted_roles_credentials_are_forgotten(iam: Iam) -> None:
    """And revoked ones; yet their session is never taken for the account's root user."""
    first, second = (iam.issue_credentials(WORKER, function_name="fn").access_key for _ in range(2))
    iam.revoke(first)
    assert iam.credentials_of(first) is None
    iam.delete_role(WORKER)
    assert iam.credentials_of(second) is None
    principal = iam.principal_of(second)
    assert (principal.session, principal.is_root) == ("fn", False)
    assert not iam.decide(principal, "sqs:SendMessage", QUEUE).allowed


def test_inline_managed_and_boundary_policies_decide_together(iam: Iam) -> None:
    """Any allows, a deny wins, the boundary narrows."""
    principal = iam.principal_of(iam.issue_credentials(WORKER, function_name="fn").access_key)
    assert iam.decide(principal, "sqs:SendMessage", QUEUE).allowed
    assert not iam.decide(principal, "sqs:SendMessage", OTHER).allowed
    all_sqs = iam.create_policy(ALL_SQS)
    iam.attach("Worker", all_sqs)
    assert iam.decide(principal, "sqs:SendMessage", OTHER).policy == "all"
    iam.put_inline("Worker", DENY_OTHER)
    assert iam.decide(principal, "sqs:SendMessage", OTHER).outcome is Outcome.EXPLICIT_DENY
    iam.set_boundary("Worker", "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")
    assert iam.decide(principal, "sqs:SendMessage", QUEUE).outcome is Outcome.IMPLICIT_DENY
    iam.set_boundary("Worker", all_sqs)
    assert iam.decide(principal, "sqs:SendMessage", QUEUE).allowed
    iam.remove_inline("Worker", "deny")
    assert iam.decide(principal, "sqs:SendMessage", OTHER).allowed


def test_a_resource_policy_may_allow_or_deny_too(iam: Iam) -> None:
    """A queue's policy that names the role allows what the role's own do not; a deny there binds even root."""
    principal = iam.principal_of(iam.issue_credentials(WORKER, function_name="fn").access_key)
    allow = {"Effect": "Allow", "Principal": {"AWS": WORKER}, "Action": "sqs:*", "Resource": OTHER}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:DeleteQueue", "Resource": OTHER}
    policy = _document("queue", allow, deny, trust=True)
    assert iam.decide(principal, "sqs:ReceiveMessage", OTHER, resource_policy=policy).policy == "queue"
    root = iam.principal_of("AKIA")
    assert iam.decide(root, "sqs:DeleteQueue", OTHER, resource_policy=policy).outcome is Outcome.EXPLICIT_DENY
    assert iam.decide(root, "sqs:ReceiveMessage", OTHER, resource_policy=policy).allowed


def test_names_are_taken_once_and_missing_ones_are_errors(iam: Iam) -> None:
    """Roles and policies."""
    with pytest.raises(ValueError, match="Role with name Worker already exists"):
        iam.create_role("Worker", TRUST, path="/other/")
    iam.create_policy(ALL_SQS)
    with pytest.raises(ValueError, match="A policy called all already exists"):
        iam.create_policy(ALL_SQS)
    with pytest.raises(NoSuchEntity):
        iam.attach("Worker", "arn:aws:iam::aws:policy/Nonsense")
    with pytest.raises(NoSuchEntity):
        iam.attach("Nobody", "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess")


def test_a_deleted_policy_leaves_every_role(iam: Iam) -> None:
    """Nothing dangles."""
    arn = iam.create_policy(ALL_SQS)
    iam.attach("Worker", arn)
    iam.delete_policy(arn)
    assert iam.roles[WORKER].managed == ()


@pytest.mark.parametrize("place", sorted(SAM_POLICIES))
def test_the_managed_policies_of_sam_are_those_of_aws(place: str) -> None:
    """Held against moto's copy of AWS's list: same path, same actions, on every resource, nothing else."""
    entry = json.loads(aws_managed_policies_data)[place.rpartition("/")[2]]
    assert entry["Path"] == f"/{place.rpartition('/')[0]}/".replace("//", "/")
    (statement,) = entry["Document"]["Statement"]
    assert set(statement["Action"]) == set(SAM_POLICIES[place])
    assert (statement["Effect"], statement["Resource"] in ("*", ["*"])) == ("Allow", True)
    assert read_managed_policy(f"arn:aws:iam::aws:policy/{place}").statements[0].resources == ("*",)


def test_other_managed_policies_come_from_motos_list() -> None:
    """In every partition; with the right path only."""
    policy = read_managed_policy("arn:aws-cn:iam::aws:policy/AmazonS3ReadOnlyAccess")
    assert evaluate([policy], "s3:GetObject", "arn:aws:s3:::b/k").allowed
    assert not evaluate([policy], "s3:PutObject", "arn:aws:s3:::b/k").allowed
    with pytest.raises(NoSuchEntity):
        read_managed_policy("arn:aws:iam::aws:policy/service-role/AmazonS3ReadOnlyAccess")


def test_every_managed_policy_of_aws_can_be_parsed() -> None:
    """Over a thousand real documents: none has an element or operator that is not known here."""
    for name, entry in json.loads(aws_managed_policies_data).items():
        assert parse_document(entry["Document"], name=name).statements


def test_the_authoriser_names_the_first_missing_permission_and_records_each(iam: Iam, tmp_path: Path) -> None:
    """The record says who, what, on what, and which policy allowed it; the file has each distinct call once."""
    record = CallRecord(tmp_path / "calls.jsonl")
    authorise: Authorise = Authoriser(iam, record)
    key = iam.issue_credentials(WORKER, function_name="fn").access_key
    needs = (Permission("sqs:SendMessage", QUEUE), Permission("sqs:DeleteMessage", QUEUE), Permission("a:b", "*"))
    session = "arn:aws:sts::123456789012:assumed-role/Worker/fn"
    assert authorise(key, needs[:1]) is None
    assert authorise(key, needs) == Denied(
        session, needs[1], "no identity-based policy allows the sqs:DeleteMessage action"
    )
    assert authorise("AKIA", needs) is None
    sent = Call("fn", WORKER, "sqs:SendMessage", QUEUE, allowed=True, policy="send")
    deleted = Call("fn", WORKER, "sqs:DeleteMessage", QUEUE, allowed=False)
    assert list(record)[:2] == [sent, deleted]
    assert record.count(sent) == 2
    assert read_calls((tmp_path / "calls.jsonl").read_text()) == list(record)


def test_an_explicit_deny_is_said(iam: Iam) -> None:
    """With the policy that holds it."""
    iam.put_inline("Worker", DENY_OTHER)
    key = iam.issue_credentials(WORKER, function_name="fn").access_key
    denied = Authoriser(iam, CallRecord())(key, (Permission("sqs:SendMessage", OTHER),))
    assert denied is not None
    assert denied.reason == "of an explicit deny in the policy deny"


def test_the_authoriser_asks_for_resource_policies(iam: Iam) -> None:
    """By ARN."""
    allow = {"Effect": "Allow", "Principal": {"AWS": WORKER}, "Action": "sqs:*", "Resource": OTHER}
    policies = {OTHER: _document("queue", allow, trust=True)}
    authorise = Authoriser(iam, CallRecord(), policy_of=policies.get)
    key = iam.issue_credentials(WORKER, function_name="fn").access_key
    assert authorise(key, (Permission("sqs:ReceiveMessage", OTHER),)) is None
    assert authorise(key, (Permission("sqs:ReceiveMessage", QUEUE),)) is not None


def test_a_record_is_held_against_the_policies_as_they_are(iam: Iam) -> None:
    """A call that a changed policy no longer allows is found; root's calls are not judged."""
    calls = [
        Call("fn", WORKER, "sqs:SendMessage", QUEUE, allowed=True, policy="send"),
        Call("", "", "sqs:DeleteQueue", QUEUE, allowed=True),
    ]
    assert recheck_calls(calls, iam) == []
    iam.remove_inline("Worker", "send")
    assert recheck_calls(calls, iam) == calls[:1]


def test_a_decision_is_not_remembered_over_a_change(iam: Iam) -> None:
    """The authoriser decides anew as soon as a role, a policy or a credential changed."""
    authorise = Authoriser(iam, CallRecord())
    key = iam.issue_credentials(WORKER, function_name="fn").access_key
    send = (Permission("sqs:SendMessage", QUEUE),)
    assert [authorise(key, send) for _ in range(3)] == [None] * 3
    iam.remove_inline("Worker", "send")
    assert authorise(key, send) is not None
    iam.put_inline("Worker", SEND)
    assert authorise(key, send) is None
    iam.delete_role(WORKER)
    assert authorise(key, send) is not None


def test_a_record_is_bounded() -> None:
    """What comes after the limit is counted, not held."""
    record = CallRecord(limit=2)
    for resource in ("a", "b", "c", "a", "d"):
        record.add(Call("fn", WORKER, "s3:GetObject", resource, allowed=True))
    assert ([call.resource for call in record], record.left_out) == (["a", "b"], 2)


def test_a_resource_policy_that_comes_or_goes_counts_at_once(iam: Iam) -> None:
    """Though the same call was denied, or allowed, and kept before."""
    allow = {"Effect": "Allow", "Principal": {"AWS": WORKER}, "Action": "sqs:*", "Resource": OTHER}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE}
    policies: dict[str, Document] = {}
    authorise = Authoriser(iam, CallRecord(), policy_of=policies.get)
    key = iam.issue_credentials(WORKER, function_name="fn").access_key
    other, own = (Permission("sqs:SendMessage", OTHER),), (Permission("sqs:SendMessage", QUEUE),)
    assert (authorise(key, other) is None, authorise(key, own) is None) == (False, True)
    policies |= {OTHER: _document("queue", allow, trust=True), QUEUE: _document("queue", deny, trust=True)}
    assert (authorise(key, other) is None, authorise(key, own) is None) == (True, False)
    policies.clear()
    assert (authorise(key, other) is None, authorise(key, own) is None) == (False, True)
