"""What IAM policies decide, and which documents are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import (
    Caller,
    Decision,
    Outcome,
    combine,
    evaluate,
    parse_document,
    read_resource_policy,
)

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/jobs"
OBJECT = "arn:aws:s3:::bucket/results/a/b.json"
ALLOW, DENY, NOTHING = Outcome.ALLOWED, Outcome.EXPLICIT_DENY, Outcome.IMPLICIT_DENY


def _policy(*statements: dict, version: str = "2012-10-17", resource_policy: bool = False):
    document = {"Version": version, "Statement": list(statements)}
    return parse_document(document, name="p", resource_policy=resource_policy)


def _allow(action: object, resource: object = "*", **more: object) -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def _deny(action: object, resource: object = "*", **more: object) -> dict:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


DECISIONS = [
    ([_allow("s3:GetObject")], "sqs:SendMessage", QUEUE, NOTHING),
    ([_allow("sqs:SendMessage", QUEUE)], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("sqs:SendMessage", QUEUE)], "SQS:sendmessage", QUEUE, ALLOW),
    ([_allow("sqs:SendMessage", QUEUE)], "sqs:ReceiveMessage", QUEUE, NOTHING),
    ([_allow("sqs:SendMessage", QUEUE)], "sqs:SendMessage", f"{QUEUE}2", NOTHING),
    ([_allow("sqs:SendMessage", QUEUE)], "sqs:SendMessage", QUEUE.upper(), NOTHING),
    ([_allow(["sqs:ReceiveMessage", "sqs:SendMessage"], [TABLE, QUEUE])], "sqs:SendMessage", QUEUE, ALLOW),
    # wildcards in actions
    ([_allow("*")], "anything:AtAll", QUEUE, ALLOW),
    ([_allow("sqs:*")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("sqs:Send*")], "sqs:SendMessageBatch", QUEUE, ALLOW),
    ([_allow("sqs:*Message")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("sqs:*Message")], "sqs:SendMessageBatch", QUEUE, NOTHING),
    ([_allow("sqs:SendMessag?")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("sqs:SendMessage?")], "sqs:SendMessage", QUEUE, NOTHING),
    ([_allow("dynamodb:*")], "sqs:SendMessage", QUEUE, NOTHING),
    ([_allow("s3:Get.*")], "s3:GetObject", OBJECT, NOTHING),
    # wildcards in resources
    ([_allow("*", "arn:aws:sqs:*:*:jobs")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("*", "arn:aws:sqs:*:*:job?")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("*", "arn:aws:sqs:*")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("*", "arn:*")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("*", "arn:aws:sqs:eu-*:jobs")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_allow("*", "arn:aws:sqs:eu-*1:jobs")], "sqs:SendMessage", QUEUE, NOTHING),
    ([_allow("*", "arn:aws:s3:::bucket/*")], "s3:GetObject", OBJECT, ALLOW),
    ([_allow("*", "arn:aws:s3:::bucket/*.json")], "s3:GetObject", OBJECT, ALLOW),
    ([_allow("*", "arn:aws:s3:::bucket/res*/*/b.json")], "s3:GetObject", OBJECT, ALLOW),
    ([_allow("*", "arn:aws:s3:::bucket")], "s3:GetObject", OBJECT, NOTHING),
    ([_allow("*", "arn:aws:s3:::buck?t/*")], "s3:GetObject", OBJECT, ALLOW),
    ([_allow("*", TABLE)], "dynamodb:GetItem", f"{TABLE}/index/by_owner", NOTHING),
    ([_allow("*", f"{TABLE}/index/*")], "dynamodb:Query", f"{TABLE}/index/by_owner", ALLOW),
    ([_allow("*", QUEUE)], "sqs:ListQueues", "*", NOTHING),
    ([_allow("*")], "sqs:ListQueues", "*", ALLOW),
    # denies win, wherever they stand
    ([_allow("*"), _deny("sqs:DeleteQueue")], "sqs:DeleteQueue", QUEUE, DENY),
    ([_deny("sqs:*", QUEUE), _allow("*")], "sqs:SendMessage", QUEUE, DENY),
    ([_deny("sqs:*", TABLE), _allow("*")], "sqs:SendMessage", QUEUE, ALLOW),
    ([_deny("sqs:DeleteQueue")], "sqs:SendMessage", QUEUE, NOTHING),
    # NotAction, NotResource
    ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], "sqs:SendMessage", QUEUE, ALLOW),
    ([{"Effect": "Allow", "NotAction": ["iam:*", "sqs:*"], "Resource": "*"}], "sqs:SendMessage", QUEUE, NOTHING),
    ([{"Effect": "Allow", "Action": "*", "NotResource": TABLE}], "sqs:SendMessage", QUEUE, ALLOW),
    ([{"Effect": "Allow", "Action": "*", "NotResource": [TABLE, QUEUE]}], "sqs:SendMessage", QUEUE, NOTHING),
    ([_allow("*"), {"Effect": "Deny", "NotAction": "sqs:*", "Resource": "*"}], "s3:GetObject", OBJECT, DENY),
    ([_allow("*"), {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:sqs:*"}], "s3:GetObject", OBJECT, DENY),
    # conditions
    ([_allow("*", Condition={"StringEquals": {"aws:username": "x"}})], "sqs:SendMessage", QUEUE, NOTHING),
    ([_allow("*", Condition={"StringEquals": {"aws:PrincipalAccount": "1"}})], "sqs:SendMessage", QUEUE, ALLOW),
    (
        [_allow("*", Condition={"StringEquals": {"aws:PrincipalAccount": "1"}, "Bool": {"aws:Secure": "true"}})],
        "sqs:SendMessage",
        QUEUE,
        NOTHING,
    ),
    ([_allow("*", "arn:aws:s3:::${owner}/*")], "s3:GetObject", OBJECT, ALLOW),
    ([_allow("*", "arn:aws:s3:::${nobody}/*")], "s3:GetObject", OBJECT, NOTHING),
    ([_allow("*", "arn:aws:s3:::${nobody, 'bucket'}/*")], "s3:GetObject", OBJECT, ALLOW),
    ([_allow("*", "arn:aws:s3:::bucket/${star}")], "s3:GetObject", OBJECT, NOTHING),
    ([_allow("*", "arn:aws:s3:::bucket/${*}")], "s3:GetObject", "arn:aws:s3:::bucket/*", ALLOW),
    ([_allow("*", "arn:aws:s3:::bucket/${*}")], "s3:GetObject", OBJECT, NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "action", "resource", "expected"), DECISIONS)
def test_policies_decide_as_iam_does(statements: list, action: str, resource: str, expected: Outcome) -> None:
    """The table: wildcards, denies, inversions, conditions, variables."""
    context = {"aws:principalaccount": "1", "Owner": "bucket", "star": "*"}
    assert evaluate([_policy(*statements)], action, resource, context=context).outcome is expected


def test_a_decision_names_the_policy_that_made_it() -> None:
    """For messages and records: the deny's policy, else the first that allows."""
    first = parse_document({"Statement": _allow("sqs:*")}, name="first")
    second = parse_document({"Statement": _allow("*")}, name="second")
    third = parse_document({"Statement": _deny("s3:*")}, name="third")
    assert evaluate([first, second, third], "sqs:X", "*") == Decision(ALLOW, "first")
    assert evaluate([first, second, third], "ddb:X", "*") == Decision(ALLOW, "second")
    assert evaluate([first, second, third], "s3:X", "*") == Decision(DENY, "third")
    assert evaluate([first], "s3:X", "*") == Decision(NOTHING)


def test_variables_are_text_in_old_policies() -> None:
    """Without version 2012-10-17 `${owner}` is just text."""
    old = _policy(_allow("*", "arn:aws:s3:::${owner}/*"), version="2008-10-17")
    assert evaluate([old], "s3:GetObject", OBJECT, context={"owner": "bucket"}).outcome is NOTHING
    assert evaluate([old], "s3:GetObject", "arn:aws:s3:::${owner}/x", context={"owner": "b"}).outcome is ALLOW


ROLE = "arn:aws:iam::123456789012:role/Worker"
SESSION = "arn:aws:sts::123456789012:assumed-role/Worker/fn"
FUNCTION = Caller(arn=SESSION, account="123456789012")
GATEWAY = Caller(service="apigateway.amazonaws.com")


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ({"Principal": "*"}, FUNCTION, ALLOW),
        ({"Principal": {"AWS": "*"}}, FUNCTION, ALLOW),
        ({"Principal": {"AWS": "*"}}, GATEWAY, NOTHING),
        ({"Principal": {"AWS": ROLE}}, FUNCTION, ALLOW),
        ({"Principal": {"AWS": SESSION}}, FUNCTION, ALLOW),
        ({"Principal": {"AWS": [f"{ROLE}2", "123456789012"]}}, FUNCTION, ALLOW),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, FUNCTION, ALLOW),
        ({"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}, FUNCTION, NOTHING),
        ({"Principal": {"AWS": f"{ROLE}2"}}, FUNCTION, NOTHING),
        ({"Principal": {"Service": "apigateway.amazonaws.com"}}, GATEWAY, ALLOW),
        ({"Principal": {"Service": ["sns.amazonaws.com", "apigateway.amazonaws.com"]}}, GATEWAY, ALLOW),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, GATEWAY, NOTHING),
        ({"Principal": {"Service": "apigateway.amazonaws.com"}}, FUNCTION, NOTHING),
        ({"Principal": {"Federated": "cognito-identity.amazonaws.com"}}, FUNCTION, NOTHING),
        ({"NotPrincipal": {"AWS": ROLE}}, FUNCTION, NOTHING),
        ({"NotPrincipal": {"AWS": f"{ROLE}2"}}, FUNCTION, ALLOW),
        ({"Principal": "*"}, None, NOTHING),
    ],
)
def test_resource_policies_name_who_may(principal: dict, caller: Caller | None, expected: Outcome) -> None:
    """Accounts, roles, sessions and services."""
    policy = _policy({"Effect": "Allow", "Action": "*", "Resource": "*", **principal}, resource_policy=True)
    assert evaluate([policy], "lambda:InvokeFunction", "*", caller=caller).outcome is expected


def test_a_lambda_permission_holds_for_its_source_only() -> None:
    """What AWS::Lambda::Permission writes: service, function and source ARN."""
    policy = _policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": "arn:fn",
            "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:eu-west-1:123456789012:api/*/GET/jobs/*"}},
        },
        resource_policy=True,
    )

    def invoked_from(arn: str) -> Outcome:
        context = {"aws:SourceArn": arn}
        return evaluate([policy], "lambda:InvokeFunction", "arn:fn", context=context, caller=GATEWAY).outcome

    assert invoked_from("arn:aws:execute-api:eu-west-1:123456789012:api/v1/GET/jobs/7") is ALLOW
    assert invoked_from("arn:aws:execute-api:eu-west-1:123456789012:api/v1/POST/jobs") is NOTHING
    assert invoked_from("arn:aws:execute-api:eu-west-1:123456789012:other/v1/GET/jobs/7") is NOTHING


@pytest.mark.parametrize(
    ("identity", "resource", "boundary", "expected"),
    [
        (ALLOW, NOTHING, None, ALLOW),
        (NOTHING, ALLOW, None, ALLOW),
        (NOTHING, NOTHING, None, NOTHING),
        (ALLOW, DENY, None, DENY),
        (DENY, ALLOW, None, DENY),
        (ALLOW, NOTHING, NOTHING, NOTHING),
        (ALLOW, NOTHING, ALLOW, ALLOW),
        (ALLOW, ALLOW, DENY, DENY),
        (NOTHING, NOTHING, ALLOW, NOTHING),
    ],
)
def test_identity_resource_and_boundary_combine(
    identity: Outcome, resource: Outcome, boundary: Outcome | None, expected: Outcome
) -> None:
    """Inside an account: a deny anywhere denies, either side may allow, a boundary only narrows."""
    bound = Decision(boundary) if boundary is not None else None
    assert combine(Decision(identity), Decision(resource), boundary=bound).outcome is expected


MALFORMED = [
    ("{", "is no JSON"),
    ([], "must be a map"),
    ({"Version": "2013-01-01", "Statement": _allow("a:b")}, "Version must be 2008-10-17 or 2012-10-17"),
    ({"Version": "2012-10-17", "Statement": _allow("a:b"), "Foo": 1}, "Foo is no element of a policy"),
    ({"Version": "2012-10-17"}, "Statement[0]: must be a map"),
    ({"Version": "2012-10-17", "Statement": ["x"]}, "Statement[0]: must be a map"),
    ({"Version": "2012-10-17", "Statement": {**_allow("a:b"), "Effekt": 1}}, "Effekt is no element of a statement"),
    ({"Version": "2012-10-17", "Statement": {**_allow("a:b"), "Effect": "allow"}}, "Effect must be Allow or Deny"),
    ({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Resource": "*"}}, "one of Action and NotAction"),
    ({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "a:b"}}, "one of Resource and NotResource"),
    ({"Version": "2012-10-17", "Statement": _allow("a:b", NotAction="c:d")}, "Action and NotAction exclude"),
    ({"Version": "2012-10-17", "Statement": _allow("a:b", NotResource="*")}, "Resource and NotResource exclude"),
    ({"Version": "2012-10-17", "Statement": _allow("sendmessage")}, "'sendmessage' must be * or service:action"),
    ({"Version": "2012-10-17", "Statement": _allow("s*:Get")}, "'s*:Get' must be * or service:action"),
    ({"Version": "2012-10-17", "Statement": []}, "at least one statement is needed"),
    ({"Version": "2012-10-17", "Statement": [_allow("a:b", Sid="S")] * 2}, "the Sids of a policy must be unique"),
    (
        {"Version": "2012-10-17", "Statement": _allow("a:b", "https://q")},
        "Resource https://q must be in ARN format or *",
    ),
    ({"Version": "2012-10-17", "Statement": _allow("a:b:c")}, "'a:b:c' must be * or service:action"),
    ({"Version": "2012-10-17", "Statement": _allow("sqs:")}, "'sqs:' must be * or service:action"),
    ({"Version": "2012-10-17", "Statement": _allow("a:b", {"Ref": "X"})}, "Resource: must be text or a list of texts"),
    ({"Version": "2012-10-17", "Statement": _allow("a:b", Principal="*")}, "Principal has no place in a policy of a"),
    ({"Version": "2012-10-17", "Statement": _allow("a:b", Condition=[])}, "Condition must be a map"),
    (
        {"Version": "2012-10-17", "Statement": _allow("a:b", Condition={"StringEquals": "x"})},
        "Condition.StringEquals must be a map",
    ),
    (
        {"Version": "2012-10-17", "Statement": _allow("a:b", Condition={"StringIs": {"a": "b"}})},
        "the condition operator StringIs is not known",
    ),
]


@pytest.mark.parametrize(("document", "message"), MALFORMED)
def test_a_malformed_policy_is_refused_with_its_place(document: object, message: str) -> None:
    """No fault is passed over: a policy that means nothing would allow or deny by accident."""
    with pytest.raises(MalformedPolicy) as caught:
        parse_document(document, name="p")  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("principal", "message"),
    [
        ({}, "one of Principal and NotPrincipal is needed"),
        ({"Principal": "*", "NotPrincipal": "*"}, "one of Principal and NotPrincipal is needed"),
        ({"Principal": "me"}, "Principal must be * or a map"),
        ({"Principal": {"User": "me"}}, "User is no kind of principal"),
    ],
)
def test_a_resource_policy_needs_one_principal(principal: dict, message: str) -> None:
    """Of a known kind."""
    with pytest.raises(MalformedPolicy, match=message.replace("*", r"\*")):
        _policy({"Effect": "Allow", "Action": "a:b", "Resource": "*", **principal}, resource_policy=True)


STATEMENT = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny", "Permit"])},
    optional={
        "Sid": st.sampled_from(["One", "Two"]),
        "Action": st.sampled_from(["*", "sqs:*", "sqs:SendMessage", ["sqs:Get*", "s3:*"], "nothing", "s*:x", "a:b:c"]),
        "NotAction": st.sampled_from(["iam:*", ["sqs:A", "sqs:B"]]),
        "Resource": st.sampled_from(["*", "arn:aws:sqs:eu-west-1:123456789012:q", ["arn:aws:s3:::b/*"]]),
        "NotResource": st.sampled_from(["arn:aws:s3:::b", "https://sqs/q"]),
        "Condition": st.sampled_from(
            [
                {"StringEquals": {"aws:username": "x"}},
                {"Bool": {"aws:SecureTransport": "true"}},
                {"ForAllValues:StringLike": {"aws:TagKeys": ["a*"]}},
                {"NumericLessThanIfExists": {"s3:max-keys": "10"}},
                {"StringIs": {"a": "b"}},
            ]
        ),
        "Principal": st.just("*"),
        "Foo": st.just(1),
    },
)
DOCUMENT = st.fixed_dictionaries(
    {"Version": st.sampled_from(["2012-10-17", "2012"]), "Statement": st.lists(STATEMENT, min_size=1)}
)


@given(DOCUMENT)
def test_moto_accepts_and_refuses_the_same_documents(document: dict) -> None:
    """Differential against IAM's own validation as moto knows it.

    Left out, explained: version 2008-10-17 (the language's reference allows it, moto wants 2012-10-17), `allow` in
    lower case (the reference says case-sensitive, moto takes it), an action without a name (`sqs:`, moto takes it).
    A Principal is refused here, as IAM does ("Policy document should not specify a principal"); moto takes that too.
    """
    try:
        IAMPolicyDocumentValidator(json.dumps(document)).validate()
        accepted = True
    except MalformedPolicyDocument:
        accepted = False
    try:
        parse_document(document)
        ours = True
    except MalformedPolicy:
        ours = False
    assert ours == (accepted and not any("Principal" in statement for statement in document["Statement"]))


def test_a_resources_policy_is_parsed_once() -> None:
    """Whoever asks for the same text has the same document; no text is no policy."""
    text = json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}})
    assert read_resource_policy(text) is read_resource_policy(text)
    assert read_resource_policy("") is None
