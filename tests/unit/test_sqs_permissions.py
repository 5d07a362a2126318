"""AddPermission and RemovePermission: the policy that AWS makes of them, and what it refuses; tags' own rules."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.iam.policy import parse_document
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.operations import Call
from localcloud.services.sqs.parameters import Parameters
from localcloud.services.sqs.permission_operations import PERMISSION_ACTIONS
from localcloud.services.sqs.permissions import add_statement, check_policy, remove_statement
from localcloud.services.sqs.tags import check_tags

REGION = "eu-west-1"
ARN = f"arn:aws:sqs:{REGION}:123456789012:jobs"
OURS, OTHERS = "123456789012", "668614515564"


def root(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def statement(label: str, principal: Any, action: Any) -> dict[str, Any]:
    return {"Sid": label, "Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, "Resource": ARN}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2008-10-17", "Id": f"{ARN}/SQSDefaultPolicy", "Statement": list(statements)}


def refusal(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(SqsError) as caught:
        act()
    return caught.value.query_code, caught.value.message


def test_permissions_are_the_policy_that_aws_recorded() -> None:
    """One principal or action is a text, several are a list; the first makes the policy, the last takes it away."""

    async def main() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        queue = queues.create("jobs", REGION, attributes={}, tags={})

        async def ask(action: str, **parameters: Any) -> Any:
            values = {"QueueUrl": queues.url_of(queue), **parameters}
            assert await PERMISSION_ACTIONS[action](Call(queues, REGION, Parameters(values))) == {}
            text = queues.describe(queue).get("Policy")
            return json.loads(text) if text is not None else None

        one = {"AWSAccountIds": [OURS], "Actions": ["ReceiveMessage"]}
        both = {"AWSAccountIds": [OURS, OTHERS], "Actions": ["SendMessage", "*"]}
        first = statement("first", root(OURS), "SQS:ReceiveMessage")
        second = statement("second", [root(OURS), root(OTHERS)], ["SQS:SendMessage", "SQS:*"])
        assert await ask("AddPermission", Label="first", **one) == document(first)
        assert await ask("AddPermission", Label="second", **both) == document(first, second)
        assert await ask("RemovePermission", Label="first") == document(second)
        assert await ask("RemovePermission", Label="second") is None
        assert await ask("AddPermission", Label="first", **one) == document(first)

    run_virtual(main)


def test_a_policy_of_ones_own_is_kept_beside_the_permissions() -> None:
    """Its version, id and statements stay as they are, a single statement among them."""
    own = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": ARN}
    policy = json.dumps({"Version": "2012-10-17", "Statement": own})
    added = add_statement(policy, ARN, label="l", accounts=[OURS], actions=["PurgeQueue"])
    expected = statement("l", root(OURS), "SQS:PurgeQueue")
    assert json.loads(added) == {"Version": "2012-10-17", "Statement": [own, expected]}
    assert json.loads(remove_statement(added, ARN, "l")) == {"Version": "2012-10-17", "Statement": [own]}


def add(policy: str = "", **changed: Any) -> str:
    asked: dict[str, Any] = {"label": "l", "accounts": [OURS], "actions": ["SendMessage"]}
    return add_statement(policy, ARN, **{**asked, **changed})


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        (
            {"label": "a b"},
            "InvalidParameterValue",
            (
                "Value a b for parameter Label is invalid. "
                "Reason: Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
            ),
        ),
        ({"label": "l" * 81}, "InvalidParameterValue", None),
        (
            {"accounts": []},
            "InvalidParameterValue",
            "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify.",
        ),
        (
            {"accounts": [OURS, "alice"]},
            "InvalidParameterValue",
            "Value [alice] for parameter PrincipalId is invalid. Reason: Unable to verify.",
        ),
        (
            {"actions": ["RemovePermission"]},
            "InvalidParameterValue",
            (
                "Value SQS:RemovePermission for parameter ActionName is invalid. "
                "Reason: Only the queue owner is allowed to invoke this action."
            ),
        ),
        (
            {"actions": ["SendMessageBatch"]},
            "InvalidParameterValue",
            (
                "Value SQS:SendMessageBatch for parameter ActionName is invalid. "
                "Reason: Please refer to the appropriate WSDL for a list of valid actions."
            ),
        ),
        ({"actions": ["SendMessage"] * 8}, "OverLimit", "8 Actions were found, maximum allowed is 7."),
    ],
)
def test_a_permission_that_breaks_a_rule_is_refused(changed: dict[str, Any], code: str, message: str | None) -> None:
    """Labels, accounts and actions, with AWS's sentences."""
    found = refusal(lambda: add(**changed))
    assert found == (code, found[1] if message is None else message)


def test_labels_are_unique_and_must_be_there() -> None:
    """What AWS answered: a label twice, a label that no statement has, and a queue without a policy."""
    assert refusal(lambda: add(add())) == (
        "InvalidParameterValue",
        "Value l for parameter Label is invalid. Reason: Already exists.",
    )
    assert refusal(lambda: remove_statement("", ARN, "l")) == (
        "InvalidParameterValue",
        "Value l for parameter Label is invalid. Reason: can't find label.",
    )
    assert refusal(lambda: remove_statement(add(), ARN, "m")) == (
        "InvalidParameterValue",
        "Value m for parameter Label is invalid. Reason: can't find label on existing policy.",
    )


def test_twenty_statements_are_the_most() -> None:
    """The twenty-first permission is OverLimit."""
    policy = ""
    for number in range(20):
        policy = add(policy, label=f"l{number}")
    check_policy(policy)
    assert refusal(lambda: add(policy, label="l20")) == (
        "OverLimit",
        "21 Statements were found, maximum allowed is 20.",
    )


ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": ARN}


@pytest.mark.parametrize(
    ("statements", "code", "message"),
    [
        ([], "InvalidAttributeValue", "Invalid value for the parameter Policy."),
        ([{**ALLOW, "Effect": "Maybe"}], "InvalidAttributeValue", "Invalid value for the parameter Policy."),
        (
            [{**ALLOW, "Action": ["sqs:SendMessage"] * 10}],
            "OverLimit",
            "10 actions were found in a statement from the submitted policy, max allowed is 7.",
        ),
        ([ALLOW] * 21, "OverLimit", "21 Statements were found, maximum allowed is 20."),
        (
            [{**ALLOW, "Principal": {"AWS": [root(OURS)] * 51}}],
            "OverLimit",
            "51 Principals were found, maximum allowed is 50.",
        ),
        (
            [{**ALLOW, "Condition": {"StringEquals": {f"aws:RequestTag/k{number}": "v" for number in range(11)}}}],
            "OverLimit",
            "11 Conditions were found, maximum allowed is 10.",
        ),
        (
            [{**ALLOW, "Condition": {"StringEquals": {"aws:PrincipalTag/k": "v" * 8_000}}}],
            "OverLimit",
            "Submitted policy is over max allowed size.",
        ),
    ],
    ids=["none", "effect", "actions", "statements", "principals", "conditions", "size"],
)
def test_a_policy_beyond_the_quotas_is_refused(statements: list[Any], code: str, message: str) -> None:
    """As SetQueueAttributes refuses it; one that uses up a quota passes."""
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    assert refusal(lambda: check_policy(text)) == (code, message)


def test_a_policy_that_uses_up_its_quotas_passes() -> None:
    """Seven actions, twenty statements, fifty principals and ten conditions."""
    wide = {
        **ALLOW,
        "Principal": {"AWS": [root(OURS)] * 31},
        "Action": ["sqs:SendMessage"] * 7,
        "Condition": {"StringEquals": {f"aws:RequestTag/k{number}": "v" for number in range(10)}},
    }
    check_policy(json.dumps({"Statement": [wide, *[ALLOW] * 19]}))


LABELS = st.sampled_from(["a", "b", "c-d", "e_f"])
STEPS = st.lists(st.tuples(st.booleans(), LABELS, st.lists(st.sampled_from([OURS, OTHERS]), min_size=1, max_size=3)))


@given(STEPS)
def test_any_sequence_leaves_a_policy_that_iam_reads(steps: list[tuple[bool, str, list[str]]]) -> None:
    """The policy has one statement a label that was added and not removed, in order, and is "" without any."""
    policy = ""
    kept: list[str] = []
    for adds, label, accounts in steps:
        if adds == (label in kept):
            with pytest.raises(SqsError):
                _ = add(policy, label=label, accounts=accounts) if adds else remove_statement(policy, ARN, label)
            continue
        policy = add(policy, label=label, accounts=accounts) if adds else remove_statement(policy, ARN, label)
        kept = [*kept, label] if adds else [name for name in kept if name != label]
        found = parse_document(policy, resource_policy=True).statements if policy else ()
        assert kept == [one.sid for one in found]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({f"k{number}": "" for number in range(51)}, "Too many tags added for queue jobs."),
        ({"": "v"}, "Tag keys must be between 1 and 128 characters in length."),
        ({"k" * 129: "v"}, "Tag keys must be between 1 and 128 characters in length."),
        ({"k": "v" * 257}, "Tag values must be between 0 and 256 characters in length."),
        ({"AWS:k": "v"}, "Tag keys and values can't begin with aws:, which is reserved."),
        ({"k": "aws:v"}, "Tag keys and values can't begin with aws:, which is reserved."),
        ({"k": "a;b"}, "Tag keys and values can only include letters, digits, white space and _.:/=+-@."),
    ],
    ids=["many", "empty key", "long key", "long value", "reserved key", "reserved value", "sign"],
)
def test_tags_have_rules_wherever_they_come_from(tags: dict[str, str], message: str) -> None:
    """CreateQueue, TagQueue and a template's resource; a queue that is refused for its tags is not there."""
    assert refusal(lambda: check_tags("jobs", tags)) == ("InvalidParameterValue", message)

    async def main() -> None:
        queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        assert refusal(lambda: queues.create("jobs", REGION, attributes={}, tags=tags))[1] == message
        assert queues.list(REGION) == []
        queue = queues.create("jobs", REGION, attributes={}, tags={})
        assert refusal(lambda: queues.tag(queue, tags))[1] == message
        assert queue.tags == {}

    run_virtual(main)


def test_tags_at_their_limits_pass() -> None:
    """Fifty tags, keys of 128 and values of 256 characters of any script, empty values."""
    check_tags("jobs", {"é" * 128: "_.:/=+-@ 1" + "x" * 246, **{f"k{number}": "" for number in range(49)}})


def awaiting(test: Callable[[Queues], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1)))

    run_virtual(main)


def test_a_kms_key_and_sqs_own_keys_exclude_each_other() -> None:
    """The later one wins, both at once are refused, with AWS's sentence."""

    async def test(queues: Queues) -> None:
        queue = queues.create("jobs", REGION, attributes={"KmsMasterKeyId": "k"}, tags={})
        assert queue.attributes["SqsManagedSseEnabled"] == "false"
        assert queues.create("jobs", REGION, attributes={"KmsDataKeyReusePeriodSeconds": "300"}, tags={}) is queue
        queues.configure(queue, {"KmsDataKeyReusePeriodSeconds": "600"})
        queues.configure(queue, {"SqsManagedSseEnabled": "true"})
        kept = {name for name in queue.attributes if name.startswith("Kms")}
        assert (queue.attributes["SqsManagedSseEnabled"], kept) == ("true", set())
        assert refusal(lambda: queues.configure(queue, {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true"})) == (
            "InvalidAttributeName",
            (
                "You can use one type of server-side encryption (SSE) at one time. "
                "You can either enable KMS SSE or SQS SSE."
            ),
        )
        queues.configure(queue, {"KmsMasterKeyId": "k"})
        queues.configure(queue, {"KmsMasterKeyId": ""})
        assert (queue.attributes["SqsManagedSseEnabled"], "KmsMasterKeyId" in queue.attributes) == ("false", False)

    awaiting(test)
