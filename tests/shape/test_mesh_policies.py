"""Who may do what to a data product: the policies as CloudFormation has them, evaluated for every tag and action."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from localcloud.products.adding import plan_product
from localcloud.products.checks import OWNED_KEY
from localcloud.products.descriptor import CLASSIFICATIONS, Product, parse_product
from localcloud.products.fragment import write_fragment
from localcloud.services.iam.policy import Caller, Document, evaluate, parse_document
from localcloud.services.kinesis.operations import NOT_SERVED, OPERATIONS
from localcloud.template.source import parse_template, read_template
from tests.shape.conftest import ROOT

DOMAINS: Final = ("shop", "billing")
ARN: Final = "arn:aws:kinesis:eu-west-1:123456789012:stream/stack-OrdersStream-1"
CONSUMER: Final = f"{ARN}/consumer/mesh:1"
KEY: Final = "arn:aws:kms:eu-west-1:123456789012:key/abc"
WRITES: Final = {"DescribeStreamSummary", "ListShards", "PutRecord", "PutRecords"}
READS: Final = {
    "DescribeStream", "DescribeStreamConsumer", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards",
    "SubscribeToShard",
}  # fmt: skip
ACTIONS: Final = sorted({*OPERATIONS, *NOT_SERVED, "SubscribeToShard"})
PRODUCT: Final = parse_product((ROOT / "products" / "records" / "product.yaml").read_text(), name="records")
MESH: Final = {
    name: resource["Properties"]["PolicyDocument"]
    for name, resource in read_template(ROOT / "products" / "policies.yaml").body["Resources"].items()
}


def resolve(value: Any) -> Any:
    """What a deployment would make of the functions that policies use."""
    if isinstance(value, list):
        return [resolve(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Fn::GetAtt"} or set(value) == {"Ref"}:
        return CONSUMER if "Consumer" in str(value) else ARN
    if set(value) == {"Fn::Sub"}:
        text = re.sub(r"\$\{\w+Stream\.Arn\}", ARN, value["Fn::Sub"])
        text = text.replace("${AWS::Partition}", "aws").replace("${AWS::Region}", "eu-west-1")
        return text.replace("${AWS::AccountId}", "123456789012")
    return {name: resolve(each) for name, each in value.items()}


def policy(document: Mapping[str, Any]) -> Document:
    return parse_document(json.loads(json.dumps(resolve(document))), name="policy")


def may(
    document: Document,
    action: str,
    *,
    stream: Mapping[str, str],
    role: Mapping[str, str],
    arn: str = ARN,
    tls: bool = True,
) -> bool:
    """Whether a role with these tags may do `action` to a stream (or consumer) with those."""
    context = {f"aws:ResourceTag/{name}": value for name, value in stream.items()}
    context |= {f"aws:PrincipalTag/{name}": value for name, value in role.items()}
    context["aws:SecureTransport"] = str(tls).lower()
    return evaluate([document], f"kinesis:{action}", arn, context=context).allowed


def tags(domain: str, level: str, name: str = "classification") -> dict[str, str]:
    return {"domain": domain, name: level}


MATRIX: Final = list(itertools.product(DOMAINS, CLASSIFICATIONS, DOMAINS, CLASSIFICATIONS))


@pytest.mark.parametrize(("name", "allowed"), [("MeshProducers", WRITES), ("MeshConsumers", READS)])
def test_tags_of_role_and_stream_decide_and_nothing_else_is_allowed(name: str, allowed: set[str]) -> None:
    """Every action of Kinesis, for every domain, classification and clearance: what is not granted here is denied."""
    document = policy(MESH[name])
    granted = 0
    for domain, level, of, clearance in MATRIX:
        own = domain == of or (name == "MeshConsumers" and level == "public")
        fits = own and CLASSIFICATIONS.index(clearance) >= CLASSIFICATIONS.index(level)
        for action in ACTIONS:
            wanted = fits and action in allowed
            told = may(document, action, stream=tags(domain, level), role=tags(of, clearance, "clearance"))
            assert told is wanted, (action, domain, level, of, clearance)
            granted += told
    pairs = {"MeshProducers": 2 * 10, "MeshConsumers": 2 * 10 + 2 * 4}[name]
    assert granted == pairs * len(allowed)


@pytest.mark.parametrize("name", sorted(MESH))
def test_a_missing_tag_allows_nothing(name: str) -> None:
    """On either side, be it that both lack the same one: an absent domain is not equal to an absent domain."""
    document = policy(MESH[name])
    stream, role = tags("shop", "internal"), tags("shop", "restricted", "clearance")
    action = "PutRecords" if name == "MeshProducers" else "GetRecords"
    assert may(document, action, stream=stream, role=role)
    for left_out in ("domain", "classification", "clearance"):
        bare = [{key: value for key, value in each.items() if key != left_out} for each in (stream, role)]
        assert not may(document, action, stream=bare[0], role=bare[1])
    assert not may(document, action, stream={}, role={})
    assert not may(document, action, stream=stream, role={"domain": "shop", "clearance": "*"})
    assert not may(document, action, stream=stream, role={"domain": "*", "clearance": "restricted"})


@pytest.mark.parametrize("name", sorted(MESH))
def test_tags_and_policies_cannot_be_changed_and_tls_is_needed(name: str) -> None:
    """An explicit deny: another policy that allows everything does not give a role the tags that decide."""
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    both = [policy(MESH[name]), policy(everything)]
    for action in (
        "AddTagsToStream", "RemoveTagsFromStream", "TagResource", "UntagResource", "PutResourcePolicy",
        "DeleteResourcePolicy",
    ):  # fmt: skip
        assert not evaluate(both, f"kinesis:{action}", ARN, context={"aws:SecureTransport": "true"}).allowed
    assert evaluate(both, "kinesis:PutRecords", ARN, context={"aws:SecureTransport": "true"}).allowed
    assert not evaluate(both, "kinesis:PutRecords", ARN, context={"aws:SecureTransport": "false"}).allowed


def test_a_registered_consumer_counts_with_its_own_tags() -> None:
    """SubscribeToShard is asked of the consumer: one without the stream's tags cannot be read from."""
    document = policy(MESH["MeshConsumers"])
    role = tags("shop", "internal", "clearance")
    assert may(document, "SubscribeToShard", stream=tags("shop", "internal"), role=role, arn=CONSUMER)
    assert not may(document, "SubscribeToShard", stream={}, role=role, arn=CONSUMER)


@pytest.mark.parametrize("name", sorted(MESH))
def test_a_policy_fits_into_iam(name: str) -> None:
    """A managed policy has 6,144 characters at most, white space aside."""
    assert len(json.dumps(resolve(MESH[name]), separators=(",", ":"))) <= 6_144


# ---------------------------------------------------------------- one product's own


def made(product: Product, key: str = OWNED_KEY) -> dict[str, Any]:
    """The resources that `product add` puts into the template."""
    text = "Resources:\n" + write_fragment(product, key=key, has_alarm_topic=False)
    return parse_template(text, name="fragment")["Resources"]


@pytest.mark.parametrize("level", CLASSIFICATIONS)
def test_the_policies_of_a_product_are_the_same_rules_for_one_stream(level: str) -> None:
    """For its stream and consumers what MeshProducers and MeshConsumers allow, for every other stream nothing."""
    product = replace(PRODUCT, name="orders", stream="OrdersStream", domain="shop", classification=level)
    resources = made(product)
    for suffix, mesh in (("Producers", "MeshProducers"), ("Consumers", "MeshConsumers")):
        own, general = policy(resources[f"Orders{suffix}"]["Properties"]["PolicyDocument"]), policy(MESH[mesh])
        for of, clearance, action in itertools.product(DOMAINS, CLASSIFICATIONS, ACTIONS):
            role, stream = tags(of, clearance, "clearance"), tags("shop", level)
            assert may(own, action, stream=stream, role=role) is may(general, action, stream=stream, role=role)
            assert not may(own, action, stream=stream, role=role, arn=ARN.replace("Orders", "Other"))
        assert not may(own, "PutRecords", stream={}, role=role)
    read = policy(resources["OrdersConsumers"]["Properties"]["PolicyDocument"])
    role = tags("shop", "restricted", "clearance")
    assert may(read, "SubscribeToShard", stream=tags("shop", level), role=role, arn=CONSUMER)


def test_a_key_of_ones_own_is_allowed_to_those_who_use_the_stream() -> None:
    """Producers make data keys of it and consumers decrypt; neither may do the other's, and AWS's key needs neither."""
    resources = made(PRODUCT, KEY)
    allowed = {
        suffix: [
            action
            for action in ("kms:GenerateDataKey", "kms:Decrypt", "kms:Encrypt")
            if evaluate([policy(resources[f"Records{suffix}"]["Properties"]["PolicyDocument"])], action, KEY).allowed
        ]
        for suffix in ("Producers", "Consumers")
    }
    assert allowed == {"Producers": ["kms:GenerateDataKey"], "Consumers": ["kms:Decrypt"]}
    assert "kms:" not in json.dumps(made(PRODUCT))


# ---------------------------------------------------------------- across accounts

OTHER: Final = "arn:aws:iam::999999999999:role/reader"


def shared() -> dict[str, Any]:
    """The resources of docs/products.md that share the stream."""
    text = (ROOT / "docs" / "products.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if each.startswith("Parameters:")]
    return parse_template(block, name="docs/products.md")


def pick(statement: Any) -> Any:
    """The branch of an Fn::If whose condition holds, the parameter's roles put in."""
    branch = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return {**resolve(branch), "Principal": {"AWS": [OTHER]}}


@pytest.mark.parametrize(
    ("name", "arn", "allowed"),
    [
        ("RecordsStreamPolicy", ARN, (WRITES | READS) - {"DescribeStreamConsumer", "SubscribeToShard"}),
        ("RecordsConsumerPolicy", CONSUMER, {"DescribeStreamConsumer", "SubscribeToShard"}),
    ],
)
def test_a_resource_policy_lets_in_the_roles_that_are_named(name: str, arn: str, allowed: set[str]) -> None:
    """Those roles may do what producers and consumers do, and nobody else may do anything."""
    raw = shared()["Resources"][name]["Properties"]["ResourcePolicy"]
    document = parse_document({**raw, "Statement": [pick(each) for each in raw["Statement"]]}, resource_policy=True)
    for action in ACTIONS:
        for role, wanted in ((OTHER, action in allowed), (OTHER.replace("reader", "stranger"), False)):
            caller = Caller(arn=role, account="999999999999")
            told = evaluate([document], f"kinesis:{action}", arn, caller=caller).allowed
            assert told is wanted, (action, role)


def test_a_new_product_leaves_the_template_as_it_is(tmp_path: Any) -> None:
    """To this application's own template: no line but the new ones, and every comment stays."""
    template = tmp_path / "template.yaml"
    before = (ROOT / "template.yaml").read_text(encoding="utf-8")
    template.write_text(before)
    product = replace(PRODUCT, name="orders", topic="orders", stream="OrdersStream", domain="shop")
    change = plan_product(product, template, key=OWNED_KEY)
    after = change.files[template].splitlines()
    assert "".join(change.added) in change.files[template]
    assert after[: change.line - 2] == before.splitlines()[: change.line - 2]
    rest = before.splitlines()[change.line - 2 :]
    assert after[-len(rest) :] == rest
    assert template.read_text() == before
