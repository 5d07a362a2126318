"""What a pair of Regions is made of, and who may do what in it: as each Region's stack is deployed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.iam.policy import Document, evaluate, parse_document
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical
from localcloud.template.intrinsics import resolve
from localcloud.template.source import read_settings, read_template
from tests.shape.conftest import ROOT
from tests.shape.paired import EAST, WEST, Deployment, Role, deployed

PAIR: Final[tuple[Role, ...]] = ("primary", "secondary")
REGION: Final = {"alone": EAST, "primary": EAST, "secondary": WEST}
OTHER: Final = {EAST: WEST, WEST: EAST}
KEYS, TERMS = "sluiceway-keys", "sluiceway-terms"
OF_PAIR: Final = {
    "FailbackAskedAlarm", "FailoverAskedAlarm", "IsHomeAlarm", "OtherRegionDownAlarm", "PairName", "PairNameMapping",
    "PrimaryRecord", "ProbeRegion", "ProbeRegionLogs", "ProbeRegionMinutely", "ProbeRegionMinutelyPermission",
    "ProbeRegionRole", "RegionCheck", "RegionName", "RegionNameMapping", "RegionNameRecord", "RegionsTable",
    "SecondaryRecord", "SharedKeys", "SwitchRegion", "SwitchRegionLogs", "SwitchRegionMinutely",
    "SwitchRegionMinutelyPermission", "SwitchRegionRole", "Terms", "TrafficCheck",
}  # fmt: skip
TABLE_ACTIONS: Final = (
    "BatchGetItem", "BatchWriteItem", "CreateTable", "DeleteItem", "DeleteTable", "DescribeTable", "GetItem", "PutItem",
    "Query", "Scan", "UpdateItem", "UpdateTable",
)  # fmt: skip


LOGS: Final = {"logs:CreateLogStream", "logs:PutLogEvents"}


class Attributes(Mapping[str, Any]):
    """What a resource's attributes would be: an ARN that has its name in it, or the attribute's own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, attribute: str) -> str:
        return f"arn:aws:made:::{self._name}" if attribute == "Arn" else f"{self._name}.{attribute}"

    def __contains__(self, _attribute: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def settled(made: Deployment, value: Any) -> Any:
    """With every resource made: `Ref` is its name, `Arn` has it."""
    scope = made.stack.graph.scope
    physical = {name: Physical(name, Attributes(name)) for name in made.types}
    return resolve(value, replace(scope, physical=physical), "test")


def policies(made: Deployment, role: str) -> list[Document]:
    """A role's own, as IAM would have them, and those that name it."""
    documents = [each["PolicyDocument"] for each in made.resources[role].get("Policies", [])]
    documents += [
        each["PolicyDocument"] for each in made.of("AWS::IAM::Policy").values() if {"Ref": role} in each["Roles"]
    ]
    return [parse_document(settled(made, each), name=role) for each in documents]


def table(region: str, name: str) -> str:
    return f"arn:aws:dynamodb:{region}:{ACCOUNT_ID}:table/{name}"


def granted(made: Deployment, role: str, resource: str, actions: Any = TABLE_ACTIONS) -> set[str]:
    """Those of DynamoDB's `actions` that the role may do to the table."""
    return {each for each in actions if evaluate(policies(made, role), f"dynamodb:{each}", resource).allowed}


# ---------------------------------------------------------------- what there is


def test_a_stack_alone_has_nothing_of_a_pair() -> None:
    """Its health can be asked for; there is no probe, no switch, no shared table and no record."""
    made = deployed("alone")
    assert OF_PAIR & set(made.types) == set()
    assert {"CheckHealth", "CheckHealthRole", "IdempotencyTable"} <= set(made.types)
    assert not [name for name, type_ in made.types.items() if type_.startswith("AWS::Route53")]
    assert {"ProbeRegionName", "SwitchRegionName", "RegionsTableName"} & set(made.outputs) == set()


def test_what_is_of_one_role_is_in_that_role_alone() -> None:
    """The secondary makes what both share and watches who is home; the primary has the record that follows."""
    of = {role: OF_PAIR & set(deployed(role).types) for role in PAIR}
    assert of["primary"] - of["secondary"] == {"PrimaryRecord", "TrafficCheck"}
    assert of["secondary"] - of["primary"] == {
        "FailbackAskedAlarm", "FailoverAskedAlarm", "IsHomeAlarm", "SecondaryRecord", "SharedKeys", "Terms",
    }  # fmt: skip
    assert of["primary"] | of["secondary"] == OF_PAIR
    for role in PAIR:
        assert "IdempotencyTable" not in deployed(role).types


def test_the_shared_tables_are_replicated_and_outlive_their_stack() -> None:
    """Keys to both Regions, eventually; the term strongly, in a third one as well, and nobody's TTL deletes it."""
    made = deployed("secondary")
    keys, terms = made.resources["SharedKeys"], made.resources["Terms"]
    assert (keys["TableName"], [each["Region"] for each in keys["Replicas"]]) == (KEYS, [WEST, EAST])
    assert (terms["TableName"], [each["Region"] for each in terms["Replicas"]]) == (TERMS, [WEST, EAST, "us-east-2"])
    assert (terms["MultiRegionConsistency"], "MultiRegionConsistency" in keys) == ("STRONG", False)
    assert "TimeToLiveSpecification" not in terms
    assert keys["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    for name in ("SharedKeys", "Terms"):
        assert made.stack.graph.nodes[name].policies == {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


# ---------------------------------------------------------------- traffic


def test_traffic_hangs_on_the_secondarys_alarm_and_on_nothing_else() -> None:
    """The PRIMARY record's check is the alarm on who is home, by its name and Region, with the last known status."""
    primary, secondary = deployed("primary"), deployed("secondary")
    assert primary.resources["PrimaryRecord"]["HealthCheckId"] == {"Ref": "TrafficCheck"}
    assert primary.resources["TrafficCheck"]["HealthCheckConfig"] == {
        "Type": "CLOUDWATCH_METRIC",
        "AlarmIdentifier": {"Name": secondary.resources["IsHomeAlarm"]["AlarmName"], "Region": WEST},
        "InsufficientDataHealthStatus": "LastKnownStatus",
    }


@pytest.mark.parametrize("role", ["alone", *PAIR])
def test_no_records_health_check_is_that_of_a_region(role: Role) -> None:
    """Nor does any record evaluate its target's health: only the term moves traffic."""
    made = deployed(role)
    for name, record in made.of("AWS::Route53::RecordSet").items():
        check = record.get("HealthCheckId")
        assert check in (None, {"Ref": "TrafficCheck"}), name
        assert record["AliasTarget"]["EvaluateTargetHealth"] in {False, "false"}, name
    for name, check in made.of("AWS::Route53::HealthCheck").items():
        if "ResourcePath" in check["HealthCheckConfig"]:
            text = str(list(made.of("AWS::Route53::RecordSet").values()))
            assert f"'Ref': '{name}'" not in text, name


def test_both_records_are_of_one_name_and_one_of_each_kind() -> None:
    """A failover pair: PRIMARY in the primary's stack, SECONDARY in the secondary's, which no check takes away."""
    records = [deployed("primary").resources["PrimaryRecord"], deployed("secondary").resources["SecondaryRecord"]]
    assert {(each["Name"], each["Type"], each["HostedZoneId"]) for each in records} == {
        ("api.example.com", "A", "Z0000000EXAMPLE")
    }
    assert [each["Failover"] for each in records] == ["PRIMARY", "SECONDARY"]
    assert len({each["SetIdentifier"] for each in records}) == 2
    assert "HealthCheckId" not in records[1]


def test_the_alarm_that_traffic_follows_is_one_that_route_53_takes() -> None:
    """Standard resolution, a plain statistic, one metric; missing data changes nothing, and it acts on nothing."""
    alarm = deployed("secondary").resources["IsHomeAlarm"]
    assert (alarm["MetricName"], alarm["Namespace"]) == ("IsHome", "Sluiceway")
    assert alarm["Dimensions"] == [{"Name": "Group", "Value": "sluiceway"}]
    assert int(alarm["Period"]) >= 60
    assert alarm["Statistic"] in {"Average", "Minimum", "Maximum", "Sum", "SampleCount"}
    assert (alarm["TreatMissingData"], alarm["ComparisonOperator"], float(alarm["Threshold"])) == (
        "ignore", "GreaterThanOrEqualToThreshold", 1,
    )  # fmt: skip
    assert "AlarmActions" not in alarm


@pytest.mark.parametrize("role", PAIR)
def test_the_alarm_on_the_other_region_has_a_probe_in_each_of_its_periods(role: Role) -> None:
    """However rarely a deployment probes: else an alarm of several data points could never go off."""
    made = deployed(role)
    alarm = made.resources["OtherRegionDownAlarm"]
    most_s = read_template(ROOT / "template.yaml").body["Parameters"]["ProbeSeconds"]["MaxValue"]
    assert int(alarm["Period"]) >= int(most_s)
    assert alarm["Dimensions"] == [{"Name": "Region", "Value": OTHER[REGION[role]]}]
    probe = made.resources["ProbeRegion"]["Environment"]["Variables"]
    assert (probe["OTHER_REGION"], probe["POWERTOOLS_METRICS_NAMESPACE"]) == (
        alarm["Dimensions"][0]["Value"], alarm["Namespace"],
    )  # fmt: skip


def test_what_asks_for_an_approval_moves_nothing() -> None:
    """The alarms tell a topic where there is one; no alarm of a pair invokes a function or a plan."""
    for role in PAIR:
        topic = f"arn:aws:sns:{REGION[role]}:{ACCOUNT_ID}:oncall"
        for given in ({}, {"AlarmTopicArn": topic}):
            made = deployed(role, **given)
            for type_ in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
                for name, alarm in made.of(type_).items():
                    if name in OF_PAIR:
                        assert alarm.get("AlarmActions", []) in ([], [topic]), name
                        assert not alarm.keys() & {"OKActions", "InsufficientDataActions"}, name


# ---------------------------------------------------------------- who may do what


@pytest.mark.parametrize("role", ["alone", *PAIR])
def test_nobody_may_change_dns_alarms_or_everything(role: Role) -> None:
    """No role of the stack has more of Route 53 than the status of a check, sets an alarm, puts a metric or has `*`."""
    made = deployed(role)
    for name in made.of("AWS::IAM::Role"):
        for effect, action, resource in made.granted(name):
            assert effect == "Allow", name
            service, _, operation = action.partition(":")
            is_look = (name, action) == ("SwitchRegionRole", "route53:GetHealthCheckStatus")
            assert is_look or service not in {"route53", "route53-recovery-cluster", "*"}, (name, action)
            assert "*" not in operation, (name, action)
            assert action not in {"cloudwatch:SetAlarmState", "cloudwatch:PutMetricData"}, (name, action)
            assert resource != "*", (name, action)


@pytest.mark.parametrize("role", PAIR)
def test_the_probe_may_log_and_nothing_else(role: Role) -> None:
    """What it counts goes by its log; whoever has it can move and read nothing."""
    made = deployed(role)
    assert {action for _, action, _ in made.granted("ProbeRegionRole")} == LOGS
    for action in LOGS:
        assert evaluate(policies(made, "ProbeRegionRole"), action, "arn:aws:made:::ProbeRegionLogs").allowed
        assert not evaluate(policies(made, "ProbeRegionRole"), action, "arn:aws:made:::SwitchRegionLogs").allowed
    assert not made.resources["ProbeRegionRole"].get("ManagedPolicyArns")


@pytest.mark.parametrize("role", PAIR)
def test_the_switch_may_do_what_an_order_needs_to_its_tables_alone(role: Role) -> None:
    """The term here, marks in both Regions, doubts here: each action on each table, and no other table or service."""
    made, here = deployed(role), REGION[role]
    there = OTHER[here]
    may = {
        table(here, TERMS): {"GetItem", "PutItem"},
        table(here, KEYS): {"GetItem", "PutItem"},
        table(there, KEYS): {"GetItem", "PutItem"},
        "arn:aws:made:::RegionsTable": {"Query", "PutItem", "DeleteItem"},
        table(there, TERMS): set[str](),
        table("us-east-2", TERMS): set[str](),
        "arn:aws:made:::JobsTable": set[str](),
        "arn:aws:made:::ConversationsTable": set[str](),
    }
    assert {resource: granted(made, "SwitchRegionRole", resource) for resource in may} == may
    others = {
        action for _, action, _ in made.granted("SwitchRegionRole") if not action.startswith(("logs:", "dynamodb:"))
    }
    assert others == {"cloudwatch:DescribeAlarms", "route53:GetHealthCheckStatus"}  # of the order "survey"


@pytest.mark.parametrize("role", ["alone", *PAIR])
def test_health_reads_and_writes_nothing(role: Role) -> None:
    """One item of each table that requests need, the queue's depth, the stream's summary."""
    made, here = deployed(role), REGION[role]
    keys = "arn:aws:made:::IdempotencyTable" if role == "alone" else table(here, KEYS)
    assert granted(made, "CheckHealthRole", keys) == {"GetItem"}
    if role != "alone":
        assert granted(made, "CheckHealthRole", table(here, TERMS)) == {"GetItem"}
        assert granted(made, "CheckHealthRole", "arn:aws:made:::RegionsTable") == {"GetItem"}
    actions = {action for _, action, _ in made.granted("CheckHealthRole")}
    assert actions - LOGS == {"dynamodb:GetItem", "sqs:GetQueueAttributes", "kinesis:DescribeStreamSummary"}


@pytest.mark.parametrize("role", PAIR)
def test_nobody_but_the_switch_may_write_the_term(role: Role) -> None:
    """The one fact that traffic and work follow; every other role reads it at the most."""
    made = deployed(role)
    writes = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"}
    for region in (EAST, WEST, "us-east-2"):
        can = {name for name in made.of("AWS::IAM::Role") if granted(made, name, table(region, TERMS), writes)}
        assert can == ({"SwitchRegionRole"} if region == REGION[role] else set()), region


# ---------------------------------------------------------------- what a deployment is refused for


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"IdempotencyTier": "single", "SharedIdempotencyTable": "", "OtherRegion": ""},
            "has the IdempotencyTier home",
        ),
        ({"IdempotencyTier": "strong"}, "has the IdempotencyTier home"),
        ({"TermsRegion": "us-east-2"}, "TermsRegion is this one"),
        ({"OtherRegion": ""}, "has an OtherRegion"),
        ({"RegionGroup": ""}, "has a RegionGroup"),
        ({"TermsTable": ""}, "has a TermsTable"),
        ({"SharedIdempotencyTable": ""}, "has a SharedIdempotencyTable"),
        ({"DomainName": ""}, "has a DomainName, or an OtherRegionUrl"),
        ({"HostedZoneId": ""}, "has a HostedZoneId"),
        ({"CertificateArn": ""}, "has a CertificateArn"),
        ({"ProbeSeconds": "11"}, "ProbeSeconds"),
        ({"RegionRole": "tertiary"}, "RegionRole"),
    ],
)
@pytest.mark.parametrize("role", PAIR)
def test_a_pair_that_is_not_whole_is_refused_in_words(role: Role, given: dict[str, str], said: str) -> None:
    """Before anything is made."""
    with pytest.raises(TemplateError, match=said):
        deployed(role, **given)


@pytest.mark.parametrize("role", PAIR)
def test_a_pair_may_have_addresses_in_place_of_names(role: Role) -> None:
    """Two Regions on one machine, or APIs without a domain: probed by what OtherRegionUrl says, with no record."""
    bare = {"DomainName": "", "HostedZoneId": "", "CertificateArn": "", "OtherRegionUrl": "https://other.example/v1"}
    made = deployed(role, **bare)
    for name in ("ProbeRegion", "SwitchRegion"):
        assert made.resources[name]["Environment"]["Variables"]["PROBE_URL"] == "https://other.example/v1/health"
    assert not [name for name, type_ in made.types.items() if type_.startswith("AWS::Route53")]
    assert {"OtherRegionDownAlarm", "SwitchRegion"} <= set(made.types)


# ---------------------------------------------------------------- samconfig.toml


def test_both_environments_fit_together() -> None:
    """One group, the same tables and names; the roles differ, and each names the other's Region as its other one."""
    given = {role: read_settings(ROOT / "samconfig.toml", environment=role).parameters for role in PAIR}
    regions = {role: REGION[role] for role in PAIR}
    for role, other in (PAIR, PAIR[::-1]):
        assert given[role]["RegionRole"] == role
        assert given[role]["OtherRegion"] == regions[other]
        assert given[role]["TermsRegion"] == regions[role]
        assert f":{regions[role]}:" in given[role]["CertificateArn"]
        assert given[role]["ThirdRegion"] not in regions.values()
    own = {"RegionRole", "OtherRegion", "TermsRegion", "CertificateArn"}
    shared = [{name: value for name, value in given[role].items() if name not in own} for role in PAIR]
    assert shared[0] == shared[1]
    assert {"RegionGroup", "SharedIdempotencyTable", "TermsTable", "DomainName", "HostedZoneId"} <= set(shared[0])


def test_each_environment_is_deployed_to_the_region_that_the_other_one_names() -> None:
    """samconfig's own `region`, under one stack name."""
    document = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    settings = {role: document[role]["global"]["parameters"] for role in PAIR}
    assert {role: settings[role]["region"] for role in PAIR} == {role: REGION[role] for role in PAIR}
    assert len({settings[role]["stack_name"] for role in PAIR}) == 1


@pytest.mark.parametrize("role", PAIR)
def test_each_region_probes_the_name_that_the_other_one_makes(role: Role) -> None:
    """us-east-1's stack asks us-west-2's name, which that one's stack makes, with its certificate and its record."""
    made, other = deployed(role), deployed("primary" if role == "secondary" else "secondary")
    name = other.resources["RegionName"]["DomainName"]
    assert name == f"{OTHER[REGION[role]]}.api.example.com"
    assert other.resources["RegionNameRecord"]["Name"] == name
    for function in ("ProbeRegion", "SwitchRegion"):
        assert made.resources[function]["Environment"]["Variables"]["PROBE_URL"] == f"https://{name}/health"
    assert other.resources["RegionCheck"]["HealthCheckConfig"]["FullyQualifiedDomainName"] == name
