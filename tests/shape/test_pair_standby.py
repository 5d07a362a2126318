"""What a standby keeps ready at each level, as its stack is deployed, and what switch_region may do to it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from localcloud.services.contract import ACCOUNT_ID
from localcloud.template.errors import TemplateError
from tests.shape.conftest import ROOT
from tests.shape.paired import EAST, WEST, Deployment, Role, deployed

WARM: Final = {"WarmEnvironments": "2", "WarmEnvironmentsMost": "8", "Release": "4f2a"}
LIVE: Final = ["AuthorizeRequestLive", "PublishRecordsLive"]
ALWAYS: Final = {"ProbeRegionMinutely", "SwitchRegionMinutely"}
LAYER: Final = "AWS::Lambda::LayerVersion"


def _running(made: Deployment) -> set[str]:
    """Mappings and schedules that are on from the start."""
    mappings = {name: each["Enabled"] for name, each in made.of("AWS::Lambda::EventSourceMapping").items()}
    rules = {name: each.get("State", "ENABLED") == "ENABLED" for name, each in made.of("AWS::Events::Rule").items()}
    return {name for name, is_on in {**mappings, **rules}.items() if is_on}


def _application(made: Deployment) -> set[str]:
    return {
        name for type_ in ("AWS::Lambda::EventSourceMapping", "AWS::Events::Rule") for name in made.of(type_)
    } - ALWAYS


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize("role", ["alone", "primary"])
@pytest.mark.parametrize("level", ["hot", "warm", "pilot-light"])
def test_the_level_is_the_secondarys_alone(role: Role, level: str) -> None:
    """A stack on its own and the primary run all of it, whatever the secondary keeps."""
    made = deployed(role, StandbyLevel=level, **WARM)
    assert _running(made) >= _application(made)
    assert [name for name in made.types if name in LIVE] == LIVE
    if role == "primary":
        assert _variables(made)["RESTING_MAPPINGS"] == ""


@pytest.mark.parametrize(
    ("level", "live", "runs"), [("hot", LIVE, True), ("warm", [], True), ("pilot-light", [], False)]
)
def test_each_level_keeps_less(level: str, live: list[str], runs: bool) -> None:
    """Hot: environments as the primary's; warm: none of those; pilot light: mappings and schedules rest as well."""
    made = deployed("secondary", StandbyLevel=level, **WARM)
    assert [name for name in made.types if name in LIVE] == live
    assert _running(made) == (_application(made) if runs else set()) | ALWAYS


def _variables(made: Deployment) -> dict[str, Any]:
    return made.resources["SwitchRegion"]["Environment"]["Variables"]


def test_all_that_rests_is_told_to_switch_region_which_may_start_it_and_nothing_else() -> None:
    """Every mapping and every schedule of the application, by name; one that a later change adds is missed here."""
    made = deployed("secondary", StandbyLevel="pilot-light")
    mappings = sorted(made.of("AWS::Lambda::EventSourceMapping"))
    named = _variables(made)["RESTING_MAPPINGS"]["Fn::Sub"].replace("${", "").replace("}", "").split(",")
    assert sorted(named) == mappings
    assert {_variables(made)["RESTING_RULES"]["Ref"]} == _application(made) - set(mappings)
    granted = {
        (action, str(arn))
        for _, action, arn in made.granted("SwitchRegionRole")
        if action.startswith(("lambda:", "events:"))
    }
    arn = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:event-source-mapping:"
    rule = {"Fn::GetAtt": ["VerifyRollupsHourly", "Arn"]}
    on_mappings, on_rules = (
        ("GetEventSourceMapping", "UpdateEventSourceMapping"),
        ("DescribeRule", "EnableRule", "DisableRule"),
    )
    assert granted == {
        *((f"lambda:{name}", str({"Fn::Sub": f"{arn}${{{each}}}"})) for name in on_mappings for each in mappings),
        *((f"events:{name}", str(rule)) for name in on_rules),
    }


@pytest.mark.parametrize("level", ["hot", "warm"])
def test_where_nothing_rests_switch_region_may_start_nothing(level: str) -> None:
    """Its role has neither mappings nor rules, and its settings name none."""
    made = deployed("secondary", StandbyLevel=level)
    assert (_variables(made)["RESTING_MAPPINGS"], _variables(made)["RESTING_RULES"]) == ("", "")
    assert [
        action for _, action, _ in made.granted("SwitchRegionRole") if action.startswith(("lambda:", "events:"))
    ] == []


# ---------------------------------------------------------------- warm environments


def test_without_warm_environments_there_is_no_alias() -> None:
    """Clouds that have functions without versions are served as before; requests go to the functions themselves."""
    made = deployed("alone")
    assert {
        type_ for type_ in made.types.values() if "Alias" in type_ or "::Version" in type_ or "AutoScaling" in type_
    } == set()
    uri = made.resources["Api"]["Body"]["paths"]["/topics/{topic}/records"]["post"]["x-amazon-apigateway-integration"][
        "uri"
    ]
    assert uri["Fn::Sub"].endswith("functions/${PublishRecords.Arn}/invocations")


def test_warm_environments_are_the_aliass_and_requests_go_there() -> None:
    """Both functions: an alias of a version of this release, provisioned; routes and authorizers name the alias."""
    made = deployed("alone", **WARM)
    for name in ("AuthorizeRequest", "PublishRecords"):
        assert made.resources[f"{name}Version"] == {"FunctionName": {"Ref": name}, "Description": "4f2a"}
        alias = made.resources[f"{name}Live"]
        assert (alias["Name"], alias["FunctionVersion"]) == ("live", {"Fn::GetAtt": [f"{name}Version", "Version"]})
        assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": "2"}
    body = made.resources["Api"]["Body"]
    uri = body["paths"]["/topics/{topic}/records"]["post"]["x-amazon-apigateway-integration"]["uri"]
    assert uri["Fn::Sub"].endswith("functions/${PublishRecordsLive}/invocations")
    invoked = {str(each["FunctionName"]) for each in made.of("AWS::Lambda::Permission").values()}
    assert {str({"Ref": name}) for name in LIVE} <= invoked
    authorizers = [
        body["components"]["securitySchemes"]["BearerToken"]["x-amazon-apigateway-authorizer"]["authorizerUri"],
        *(each["AuthorizerUri"] for each in made.of("AWS::ApiGatewayV2::Authorizer").values()),
    ]
    assert len(authorizers) == 2
    chosen = str(["KeepsWarm", {"Ref": "AuthorizeRequestLive"}, {"Fn::GetAtt": ["AuthorizeRequest", "Arn"]}])
    assert all(chosen in str(each) for each in authorizers)


def test_warm_environments_scale_with_their_use() -> None:
    """Between the two parameters, at 70 %; without a most there are as many as were asked for."""
    made = deployed("alone", **WARM)
    for name in ("AuthorizeRequest", "PublishRecords"):
        target = made.resources[f"{name}Scale"]
        assert target["ResourceId"] == {"Fn::Sub": f"function:${{{name}}}:live"}
        assert (target["ServiceNamespace"], target["ScalableDimension"]) == (
            "lambda",
            "lambda:function:ProvisionedConcurrency",
        )
        assert (target["MinCapacity"], target["MaxCapacity"]) == ("2", "8")
        policy = made.resources[f"{name}Scaling"]
        assert policy["TargetTrackingScalingPolicyConfiguration"] == {
            "PredefinedMetricSpecification": {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"},
            "TargetValue": 0.7,
        }
    assert (
        deployed("alone", **{**WARM, "WarmEnvironmentsMost": "0"}).of("AWS::ApplicationAutoScaling::ScalableTarget")
        == {}
    )


def test_warm_environments_have_a_release() -> None:
    """Without a new one an alias would go on with the earlier code, and nobody would see."""
    with pytest.raises(TemplateError, match="need a Release"):
        deployed("alone", WarmEnvironments="1")


# ---------------------------------------------------------------- survey


@pytest.mark.parametrize(("role", "region"), [("primary", EAST), ("secondary", WEST)])
def test_the_sdks_layer_is_of_a_pair_and_of_switch_region_alone(role: Role, region: str) -> None:
    """No other function pays for it; a stack on its own does not build it."""
    made = deployed(role)
    functions = made.of("AWS::Lambda::Function")
    heavy = {name for name, each in functions.items() if "AwsSdk" in str(each["Layers"])}
    assert heavy == {"SwitchRegion"}
    assert len(made.of(LAYER)) == 2
    assert len(deployed("alone").of(LAYER)) == 1
    alarms = {each.get("AlarmName") for each in made.of("AWS::CloudWatch::Alarm").values()}
    named = set(_variables(made)["SURVEY_ALARMS"].split(","))
    assert named - alarms == set()
    assert len(named) == (2 if role == "secondary" else 1)
    reads = [
        (action, arn)
        for _, action, arn in made.granted("SwitchRegionRole")
        if action.startswith(("cloudwatch:", "route53:"))
    ]
    assert reads == [
        ("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{region}:{ACCOUNT_ID}:alarm:*"),
        ("route53:GetHealthCheckStatus", {"Fn::Sub": "arn:${AWS::Partition}:route53:::healthcheck/${RegionCheck}"}),
    ]
    assert _variables(made)["SURVEY_CHECKS"] == {"Ref": "RegionCheck"}


def test_a_survey_asks_for_the_plans_executions_where_there_is_a_plan() -> None:
    """The secondary's alone, which has its ARN; by its own name and no other."""
    made = deployed("secondary", FailoverControl="region-switch")
    assert _variables(made)["SURVEY_PLAN"] == {"Fn::GetAtt": ["RegionSwitchPlan", "Arn"]}
    plans = [(action, arn) for _, action, arn in made.granted("SwitchRegionRole") if action.startswith("arc-")]
    assert plans == [("arc-region-switch:ListPlanExecutions", {"Fn::GetAtt": ["RegionSwitchPlan", "Arn"]})]
    for other in (deployed("secondary"), deployed("primary", FailoverControl="region-switch")):
        assert _variables(other)["SURVEY_PLAN"] == ""


def test_the_sdks_layer_describes_what_a_survey_asks() -> None:
    """Each service that `sluiceway.aws.survey` has a client of is in services.txt."""
    text = (ROOT / "layers" / "sluiceway" / "sluiceway" / "aws" / "survey.py").read_text(encoding="utf-8")
    named = {part.split('"')[1] for part in text.split("clients.client(")[1:]}
    assert named == {"cloudwatch", "route53", "arc-region-switch"}
    assert named <= set((ROOT / "layers" / "aws_sdk" / "services.txt").read_text(encoding="utf-8").split())
