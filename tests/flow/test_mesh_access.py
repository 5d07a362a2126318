"""Who may do what across domains and classifications: the mesh's policies deployed, and asked with real calls.

The cases are those that tests/shape/test_mesh_policies.py evaluates; here roles, streams and consumers have their tags
from a template, and each call goes through the front to Kinesis.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.front import Front
from localcloud.products.descriptor import CLASSIFICATIONS
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.iam.calls import Authoriser, CallRecord, recheck_calls
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import parse_document, read_resource_policy
from localcloud.services.iam.resources import ManagedPolicyHandler, RoleHandler
from localcloud.services.kinesis.access import tags_of
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.operations import OPERATIONS, SUBSCRIBE
from localcloud.services.kinesis.resources import StreamConsumerHandler, StreamHandler
from localcloud.services.kinesis.wire import KinesisService
from localcloud.template.deploy import deploy
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source, read_template
from localcloud.template.stack import prepare_stack, stack_context

ROOT: Final = Path(__file__).parents[2]
REGION: Final = "us-east-1"
DOMAINS: Final = ("shop", "billing")
KINDS: Final = ("MeshProducers", "MeshConsumers")
WRITES: Final = frozenset({"DescribeStreamSummary", "ListShards", "PutRecord", "PutRecords"})
READS: Final = frozenset({
    "DescribeStream", "DescribeStreamConsumer", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards",
    "SubscribeToShard",
})  # fmt: skip
TAGGED: Final = tuple(itertools.product(DOMAINS, CLASSIFICATIONS))
DEVELOPER: Final = "AK"
TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    ],
}


def tags(domain: str, level: str, name: str = "classification") -> list[dict[str, str]]:
    return [{"Key": "domain", "Value": domain}, {"Key": name, "Value": level}]


def template() -> dict[str, Any]:
    """products/policies.yaml, with a stream and its consumer for all tags, and a role for all tags and each policy."""
    resources: dict[str, Any] = dict(read_template(ROOT / "products" / "policies.yaml").body["Resources"])
    for domain, level in TAGGED:
        name = f"{domain}{level}"
        resources[f"Stream{name}"] = {
            "Type": "AWS::Kinesis::Stream",
            "Properties": {"Name": name, "ShardCount": 1, "Tags": tags(domain, level)},
        }
        resources[f"Consumer{name}"] = {
            "Type": "AWS::Kinesis::StreamConsumer",
            "Properties": {
                "ConsumerName": "c",
                "StreamARN": {"Fn::GetAtt": [f"Stream{name}", "Arn"]},
                "Tags": tags(domain, level),
            },
        }
        for kind in KINDS:
            resources[f"Role{kind}{name}"] = {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": f"{kind}-{name}",
                    "AssumeRolePolicyDocument": TRUST,
                    "ManagedPolicyArns": [{"Ref": kind}],
                    "Tags": tags(domain, level, "clearance"),
                },
            }
    return {"Resources": resources}


@dataclass
class World:
    """Kinesis behind the front and IAM, with the template deployed."""

    iam: Iam
    streams: Streams
    record: CallRecord
    front: Front

    def arn(self, domain: str, level: str) -> str:
        return self.streams.arn_of(f"{domain}{level}", REGION)

    def consumer(self, domain: str, level: str) -> str:
        return self.streams.get(f"{domain}{level}", REGION).consumers["c"].arn

    def key(self, kind: str, domain: str, level: str, /, **session: str) -> str:
        role = self.iam.role_named(f"{kind}-{domain}{level}")
        return self.iam.issue_credentials(role.arn, function_name="f", tags=session).access_key

    async def ask(self, key: str, operation: str, members: Mapping[str, Any]) -> WireResponse:
        return await self.front.dispatch(
            WireRequest(
                service="kinesis",
                region=REGION,
                method="POST",
                path="/",
                query="",
                headers={"x-amz-target": f"Kinesis_20131202.{operation}", "content-type": "application/x-amz-json-1.1"},
                body=json.dumps(members).encode(),
                access_key=key,
                request_id="r",
            )
        )

    async def may(self, key: str, operation: str, members: Mapping[str, Any]) -> bool:
        """Whether a call is answered; False where it is denied, and by nothing but IAM."""
        answer = await self.ask(key, operation, members)
        if not isinstance(answer.body, bytes):
            closing: Any = answer.body
            await closing.aclose()
            return True
        if answer.status == 200:
            return True
        told = json.loads(answer.body)
        assert told["__type"] == "AccessDeniedException", (operation, told)
        assert f"not authorized to perform: kinesis:{operation} " in told["message"]
        return False

    async def told(self, operation: str, **members: Any) -> Any:
        """What a developer is answered."""
        answer = await self.ask(DEVELOPER, operation, members)
        assert isinstance(answer.body, bytes)
        assert answer.status == 200, answer.body
        return json.loads(answer.body or b"{}")


def with_world(test: Callable[[World], Awaitable[None]]) -> None:
    """Run `test` with everything deployed, on a virtual clock."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        iam, record = Iam(random.Random(1)), CallRecord()
        limits = Limits(reads=False, writes=False, calls=False, quotas=False)
        streams = Streams(clock=clock, rng=random.Random(2), limits=limits)
        policy_of = lambda arn: read_resource_policy(streams.policy_text(arn))
        authorise = Authoriser(iam, record, policy_of=policy_of)
        front = Front([KinesisService(streams)], authorise=authorise, rng=random.Random(3))
        made = (
            ManagedPolicyHandler(iam), RoleHandler(iam), StreamHandler(streams, keeps=False),
            StreamConsumerHandler(streams),
        )  # fmt: skip
        handlers: Any = {handler.type: handler for handler in made}
        stack = prepare_stack(Source(ROOT / "template.yaml", template()), stack_context(ROOT, region=REGION))
        await deploy(stack, handlers, make_ledger(stack.graph, handlers))
        await test(World(iam, streams, record, front))

    run_virtual(main)


async def members_of(world: World, operation: str, domain: str, level: str) -> dict[str, Any]:
    """A request of the operation, about one stream or its consumer, that is answered where it is allowed."""
    arn, consumer = world.arn(domain, level), world.consumer(domain, level)
    shard = {"StreamARN": arn, "ShardId": "shardId-000000000000"}
    record = {"Data": base64.b64encode(b"x").decode(), "PartitionKey": "k"}
    if operation == "GetRecords":
        told = await world.told("GetShardIterator", **shard, ShardIteratorType="LATEST")
        return {"ShardIterator": told["ShardIterator"]}
    made: dict[str, dict[str, Any]] = {
        "DeregisterStreamConsumer": {"ConsumerARN": consumer},
        "DescribeStreamConsumer": {"ConsumerARN": consumer},
        "GetShardIterator": {**shard, "ShardIteratorType": "LATEST"},
        "PutRecord": {"StreamARN": arn, **record},
        "PutRecords": {"StreamARN": arn, "Records": [record]},
        "SubscribeToShard": {
            "ConsumerARN": consumer, "ShardId": shard["ShardId"], "StartingPosition": {"Type": "LATEST"},
        },
    }  # fmt: skip
    named = {"StreamARN": arn} if operation in READS | WRITES else {"StreamARN": arn, "ResourceARN": arn}
    return made.get(operation, named)


@pytest.mark.parametrize("kind", KINDS)
def test_domain_classification_and_clearance_decide_every_call(kind: str) -> None:
    """Each operation of Kinesis, by roles of every domain and clearance, on streams of every domain and classification.

    Producers write their own domain's, consumers read it and what is public of any; both up to their clearance. All
    else is denied, for nothing allows it.
    """

    async def test(world: World) -> None:
        allowed = WRITES if kind == "MeshProducers" else READS
        keys = {role: world.key(kind, *role) for role in TAGGED}
        granted = 0
        for operation, (domain, level) in itertools.product(sorted({*OPERATIONS, SUBSCRIBE}), TAGGED):
            members = await members_of(world, operation, domain, level)
            for (of, clearance), key in keys.items():
                own = domain == of or (kind == "MeshConsumers" and level == "public")
                fits = own and CLASSIFICATIONS.index(clearance) >= CLASSIFICATIONS.index(level)
                if operation == SUBSCRIBE:
                    await asyncio.sleep(6)  # a shard is taken over after five seconds
                told = await world.may(key, operation, members)
                assert told is (fits and operation in allowed), (operation, domain, level, of, clearance)
                granted += told
        assert granted == {"MeshProducers": 20, "MeshConsumers": 28}[kind] * len(allowed)
        assert recheck_calls([each for each in world.record if each.allowed], world.iam) == []
        denied = [each for each in world.record if not each.allowed]
        assert recheck_calls(denied, world.iam) == denied

    with_world(test)


def test_a_tag_that_is_changed_counts_at_the_next_call() -> None:
    """Of the stream, of the role, and gone altogether; what was recorded is held against the tags of now."""

    async def test(world: World) -> None:
        key = world.key("MeshProducers", "shop", "internal")
        put = await members_of(world, "PutRecord", "shop", "internal")
        arn = world.arn("shop", "internal")

        async def may() -> bool:
            return await world.may(key, "PutRecord", put)

        assert [await may(), await may()] == [True, True]
        await world.told("AddTagsToStream", StreamARN=arn, Tags={"classification": "confidential"})
        assert not await may()
        (before, *_) = [each for each in world.record if each.role_arn and each.allowed]
        assert recheck_calls([before], world.iam, tags_of=lambda *asked: tags_of(world.streams, *asked)) == [before]
        world.iam.tag_role("MeshProducers-shopinternal", {"clearance": "confidential"})
        assert await may()
        await world.told("UntagResource", ResourceARN=arn, TagKeys=["domain"])
        assert not await may()
        await world.told("TagResource", ResourceARN=arn, Tags={"Domain": "shop"})
        assert await may()
        world.iam.untag_role("MeshProducers-shopinternal", ["domain"])
        assert not await may()

    with_world(test)


def test_a_sessions_tags_move_it_to_another_domain() -> None:
    """What a role's session is given stands above the role's own."""

    async def test(world: World) -> None:
        moved = world.key("MeshProducers", "shop", "internal", domain="billing")
        for domain, wanted in (("shop", False), ("billing", True)):
            members = await members_of(world, "PutRecords", domain, "internal")
            assert await world.may(moved, "PutRecords", members) is wanted

    with_world(test)


def test_a_consumer_without_tags_of_its_own_is_read_by_nobody() -> None:
    """SubscribeToShard is asked of the consumer alone, however its stream is tagged."""

    async def test(world: World) -> None:
        arn = world.consumer("shop", "public")
        key = world.key("MeshConsumers", "shop", "restricted")
        members = await members_of(world, "SubscribeToShard", "shop", "public")
        assert await world.may(key, "SubscribeToShard", members)
        await world.told("UntagResource", ResourceARN=arn, TagKeys=["classification"])
        await asyncio.sleep(6)
        assert not await world.may(key, "SubscribeToShard", members)
        assert await world.may(key, "GetShardIterator", await members_of(world, "GetShardIterator", "shop", "public"))

    with_world(test)


def test_nobody_of_the_mesh_gives_a_stream_other_tags() -> None:
    """Though another of the role's policies allows everything; and without TLS there would be nothing."""

    async def test(world: World) -> None:
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        world.iam.put_inline("MeshProducers-shopinternal", parse_document(everything, name="everything"))
        key = world.key("MeshProducers", "shop", "internal")
        arn = world.arn("billing", "restricted")
        for operation, more in (
            ("AddTagsToStream", {"StreamARN": arn, "Tags": {"domain": "shop"}}),
            ("RemoveTagsFromStream", {"StreamARN": arn, "TagKeys": ["domain"]}),
            ("TagResource", {"ResourceARN": arn, "Tags": {"domain": "shop"}}),
            ("UntagResource", {"ResourceARN": arn, "TagKeys": ["domain"]}),
            ("PutResourcePolicy", {"ResourceARN": arn, "Policy": "{}"}),
            ("DeleteResourcePolicy", {"ResourceARN": arn}),
        ):
            assert not await world.may(key, operation, more)
        assert await world.may(key, "DescribeStream", {"StreamARN": arn})

    with_world(test)


def test_a_streams_own_policy_lets_other_domains_in_by_their_tags() -> None:
    """Across domains the resource policy decides, and may ask for tags of whoever calls."""

    async def test(world: World) -> None:
        arn = world.arn("shop", "confidential")
        key = world.key("MeshConsumers", "billing", "confidential")
        members = await members_of(world, "GetShardIterator", "shop", "confidential")
        assert not await world.may(key, "GetShardIterator", members)
        statement = {
            "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Resource": arn,
            "Action": "kinesis:GetShardIterator",
            "Condition": {
                "StringEquals": {"aws:PrincipalTag/domain": "billing", "aws:PrincipalTag/clearance": "confidential"},
            },
        }  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await world.told("PutResourcePolicy", ResourceARN=arn, Policy=policy)
        assert await world.may(key, "GetShardIterator", members)
        assert not await world.may(world.key("MeshConsumers", "billing", "internal"), "GetShardIterator", members)

    with_world(test)
