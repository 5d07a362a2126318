"""Who may move the home of a pair, and the plan of ARC Region switch that asks: as each Region's stack is deployed."""

from __future__ import annotations

import json
from typing import Any, Final

import boto3
import pytest
from botocore.model import OperationModel
from botocore.validate import ParamValidator

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.iam.policy import evaluate, parse_document
from localcloud.template.errors import TemplateError
from sluiceway.codec import switch
from sluiceway.events.switch import SwitchOrder
from tests.shape.paired import EAST, WEST, Deployment, Role, deployed

ALICE: Final = f"arn:aws:iam::{ACCOUNT_ID}:role/alice"
BOB: Final = f"arn:aws:iam::{ACCOUNT_ID}:role/ops/bob"
FUNCTION: Final = "arn:aws:lambda:{}:" + ACCOUNT_ID + ":function:sluiceway-switch-region"
OWN: Final = {"Fn::GetAtt": ["SwitchRegion", "Arn"]}
PLAN_TYPE: Final = "AWS::ARCRegionSwitch::Plan"
BUDGET_MIN: Final = 5  # detection, the orders and the traffic: docs/failover.md


def plan(**overrides: str) -> tuple[Deployment, dict[str, Any]]:
    """The secondary's stack, and its plan."""
    made = deployed("secondary", FailoverControl="region-switch", **overrides)
    return made, made.resources["RegionSwitchPlan"]


def as_api(value: Any) -> Any:
    """CloudFormation's words as the API has them: members begin small, what is a name of ours stays."""
    if isinstance(value, list):
        return [as_api(each) for each in value]
    if not isinstance(value, dict):
        return value
    if any(name == "Ref" or name.startswith("Fn::") for name in value):
        return FUNCTION.format(WEST) if value == OWN else f"arn:aws:iam::{ACCOUNT_ID}:role/made"
    return {name[0].lower() + name[1:]: as_api(each) for name, each in value.items()}


def create_plan() -> OperationModel:
    return boto3.client("arc-region-switch", region_name=WEST).meta.service_model.operation_model("CreatePlan")


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize("role", ["alone", "primary", "secondary"])
def test_without_region_switch_there_is_no_plan(role: Role) -> None:
    """Nor its roles: a stack on its own and a pair that goes by the metric alone are as they were."""
    made = deployed(role)
    assert made.of(PLAN_TYPE) == {}
    assert [name for name in made.types if name in {"RegionSwitchRole", "ApproverRole", "ApprovePlan"}] == []


def test_the_plan_is_the_secondarys_alone() -> None:
    """It is deployed once, by the stack that makes what both share; a stack on its own has nobody to switch with."""
    assert deployed("primary", FailoverControl="region-switch").of(PLAN_TYPE) == {}
    with pytest.raises(TemplateError, match="region-switch is of a pair"):
        deployed("alone", FailoverControl="region-switch")


def test_the_plan_is_one_that_region_switch_takes() -> None:
    """Every member is CreatePlan's, of its type and within its bounds; a misspelt one is found."""
    _, written = plan()
    asked = as_api(written)
    asked["recoveryTimeObjectiveMinutes"] = int(asked["recoveryTimeObjectiveMinutes"])
    asked["associatedAlarms"] = {
        name: {**each, "resourceIdentifier": "arn"} for name, each in asked["associatedAlarms"].items()
    }
    asked.pop("serviceQuotaChecksEnabled")  # younger than this model, as `payload` is
    for step in (step for workflow in asked["workflows"] for step in workflow["steps"]):
        (block,) = step["executionBlockConfiguration"].values()
        block["timeoutMinutes"] = int(block["timeoutMinutes"])
        for each in block.get("lambdas", []):
            each.pop(
                "payload", None
            )  # younger than this model: https://docs.aws.amazon.com/arc-region-switch/latest/api/API_Lambdas.html
    shape = create_plan().input_shape
    assert ParamValidator().validate(asked, shape).generate_report() == ""
    asked["workflows"][0]["steps"][0]["executionBlockType"] = 1
    assert "executionBlockType" in ParamValidator().validate(asked, shape).generate_report()


def test_the_plan_is_of_both_regions_and_holds_itself_to_the_recovery_time() -> None:
    """Active and passive, the primary first; each Region's alarm on the other one tells when it is well again."""
    _, written = plan(RecoveryTimeMinutes="30")
    assert (written["RecoveryApproach"], written["Regions"], written["PrimaryRegion"]) == (
        "activePassive",
        [EAST, WEST],
        EAST,
    )
    assert int(written["RecoveryTimeObjectiveMinutes"]) == 30
    assert written["AssociatedAlarms"] == {
        "primary-down": {
            "AlarmType": "applicationHealth",
            "ResourceIdentifier": {"Fn::GetAtt": ["OtherRegionDownAlarm", "Arn"]},
        },
        "secondary-down": {
            "AlarmType": "applicationHealth",
            "ResourceIdentifier": f"arn:aws:cloudwatch:{EAST}:{ACCOUNT_ID}:alarm:sluiceway-other-region-down",
        },
    }
    assert "Triggers" not in written  # nothing starts it but a person


@pytest.mark.parametrize("to", [EAST, WEST])
def test_a_plan_asks_then_hands_over_then_takes_over(to: str) -> None:
    """Either way: nobody is moved without an approval, and a Region that is lost is left out where a person says so."""
    _, written = plan(ApprovalMinutes="10")
    (workflow,) = [each for each in written["Workflows"] if each["WorkflowTargetRegion"] == to]
    assert workflow["WorkflowTargetAction"] == "activate"
    blocks = [
        (step["Name"], step["ExecutionBlockType"], step["ExecutionBlockConfiguration"]) for step in workflow["Steps"]
    ]
    assert [block[:2] for block in blocks] == [
        ("approve", "ManualApproval"), ("hand-over", "CustomActionLambda"), ("take-over", "CustomActionLambda"),
    ]  # fmt: skip
    approval = blocks[0][2]["ExecutionApprovalConfig"]
    assert (approval["ApprovalRole"], int(approval["TimeoutMinutes"])) == ({"Fn::GetAtt": ["ApproverRole", "Arn"]}, 10)
    hand_over, take_over = (block[2]["CustomActionLambdaConfig"] for block in blocks[1:])
    assert (hand_over["RegionToRun"], hand_over["Ungraceful"]) == ("deactivatingRegion", {"Behavior": "skip"})
    assert (take_over["RegionToRun"], "Ungraceful" in take_over) == ("activatingRegion", False)
    for block in (hand_over, take_over):
        assert [each["Arn"] for each in block["Lambdas"]] == [FUNCTION.format(EAST), FUNCTION.format(WEST)]


def test_what_a_plans_steps_send_is_what_switch_region_takes() -> None:
    """Handing over insists on what speaks against it; taking over is the same approval again, and does not."""
    _, written = plan()
    metadata = {"InvokedBy": "RegionSwitch", "PlanArn": "arn", "ExecutionId": "e1", "StepName": "s"}
    approval = "ARC Region switch, execution e1"
    for workflow in written["Workflows"]:
        _, hand_over, take_over = (step["ExecutionBlockConfiguration"] for step in workflow["Steps"])
        sent = [json.loads(each["Payload"]) for each in hand_over["CustomActionLambdaConfig"]["Lambdas"]]
        to = workflow["WorkflowTargetRegion"]
        order = SwitchOrder("raise", "e1", to=to, approval=approval, of_plan=True)
        assert [switch.decode({**payload, **metadata}) for payload in sent] == [order, order]
        assert all("Payload" not in each for each in take_over["CustomActionLambdaConfig"]["Lambdas"])
        assert switch.decode(metadata) == order._replace(to="", force=True)


def test_no_step_moves_traffic_or_starts_mappings() -> None:
    """Both follow the term: a plan that did so too would be a second switch that could say something else."""
    _, written = plan()
    kinds = {step["ExecutionBlockType"] for workflow in written["Workflows"] for step in workflow["Steps"]}
    assert kinds == {"ManualApproval", "CustomActionLambda"}


def test_the_plans_role_may_do_no_more_than_its_steps() -> None:
    """Region switch alone takes it on; it may invoke both functions, read two alarms and see itself."""
    made, _ = plan()
    role = made.resources["RegionSwitchRole"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow", "Principal": {"Service": "arc-region-switch.amazonaws.com"}, "Action": "sts:AssumeRole",
    }  # fmt: skip
    other = f"arn:aws:cloudwatch:{EAST}:{ACCOUNT_ID}:alarm:sluiceway-other-region-down"
    alarms = [{"Fn::GetAtt": ["OtherRegionDownAlarm", "Arn"]}, other]
    functions = (FUNCTION.format(WEST), FUNCTION.format(EAST))
    granted, reads = list(made.granted("RegionSwitchRole")), ("DescribeAlarms", "DescribeAlarmHistory")
    assert granted == [
        *(("Allow", f"lambda:{name}", arn) for name in ("GetFunction", "InvokeFunction") for arn in functions),
        *(("Allow", f"cloudwatch:{name}", arn) for name in reads for arn in alarms),
        ("Allow", "iam:SimulatePrincipalPolicy", {"Fn::GetAtt": ["RegionSwitchRole", "Arn"]}),
        *(
            ("Allow", f"arc-region-switch:{name}", {"Fn::GetAtt": ["RegionSwitchPlan", "Arn"]})
            for name in ("GetPlan", "GetPlanExecution", "ListPlanExecutions")
        ),
    ]  # fmt: skip


# ---------------------------------------------------------------- who may approve


@pytest.mark.parametrize(("role", "region"), [("primary", EAST), ("secondary", WEST)])
def test_both_functions_have_the_name_that_the_other_region_knows(role: Role, region: str) -> None:
    """From the group's, as the plan has it and `sluiceway regions approve --function` takes it."""
    made = deployed(role)
    assert FUNCTION.format(region).endswith(f":{made.resources['SwitchRegion']['FunctionName']}")


@pytest.mark.parametrize(("role", "region"), [("primary", EAST), ("secondary", WEST)])
def test_the_named_approvers_and_nobody_else_may_invoke(role: Role, region: str) -> None:
    """Whatever a role's own policies allow: those named, the plan's role in either Region, and the clock."""
    made = deployed(role, Approvers=f"{ALICE},{BOB}", FailoverControl="region-switch")
    assert "SwitchRegionMinutelyPermission" not in made.types
    rule = f"arn:aws:events:{region}:{ACCOUNT_ID}:rule/minutely"
    arn = FUNCTION.format(region)
    written = json.dumps(made.resources["SwitchRegionPolicy"]["PolicyDocument"])
    written = written.replace(json.dumps({"Fn::GetAtt": ["SwitchRegionMinutely", "Arn"]}), json.dumps(rule))
    statements = json.loads(written.replace(json.dumps(OWN), json.dumps(arn)))["Statement"]
    clock, approvers, nobody = statements
    assert clock["Principal"] == {"Service": "events.amazonaws.com"}
    assert clock["Condition"] == {"ArnEquals": {"aws:SourceArn": rule}}
    assert (approvers["Effect"], approvers["Principal"]) == ("Allow", {"AWS": [ALICE, BOB]})
    assert nobody["Principal"] == "*"
    everything = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}
    denied = {name: each for name, each in nobody.items() if name != "Principal"}
    documents = [
        parse_document(json.dumps({"Version": "2012-10-17", "Statement": [each]}), name="p")
        for each in (everything, denied)
    ]

    def may(principal: str, *, service: str = "false") -> bool:
        context = {"aws:PrincipalArn": principal, "aws:PrincipalIsAWSService": service}
        return evaluate(documents, "lambda:InvokeFunction", arn, context=context).allowed

    runs_plan = f"arn:aws:iam::{ACCOUNT_ID}:role/sluiceway/region-switch/sluiceway-RegionSwitchRole-1"
    assert [may(each) for each in (ALICE, BOB, runs_plan)] == [True, True, True]
    others = (
        f"arn:aws:iam::{ACCOUNT_ID}:role/admin",
        f"{ALICE}2",
        f"arn:aws:iam::{ACCOUNT_ID}:user/alice",
        f"arn:aws:iam::{ACCOUNT_ID}:root",
    )
    assert [may(each) for each in others] == [False] * 4
    assert may("", service="true")  # the clock's call has no role


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_without_names_the_accounts_own_policies_decide(role: Role) -> None:
    """The function has no policy of ours then but the clock's permission."""
    made = deployed(role)
    assert made.of("AWS::Lambda::ResourcePolicy") == {}
    assert made.resources["SwitchRegionMinutelyPermission"]["SourceArn"] == {
        "Fn::GetAtt": ["SwitchRegionMinutely", "Arn"]
    }


def test_the_plans_steps_are_approved_in_a_role_that_approvers_may_take_on() -> None:
    """Its own, or the one that the deployment names; without approvers, whoever may take on a role of this account."""
    for approvers, trusted in ((f"{ALICE},{BOB}", [ALICE, BOB]), ("", f"arn:aws:iam::{ACCOUNT_ID}:root")):
        made, _ = plan(Approvers=approvers)
        (statement,) = made.resources["ApproverRole"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement == {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
        granted = list(made.granted("ApproverRole"))
        assert "arc-region-switch:ApprovePlanExecutionStep" in [action for _, action, _ in granted]
        assert {str(resource) for _, _, resource in granted} == {str({"Fn::GetAtt": ["RegionSwitchPlan", "Arn"]})}
    made, written = plan(ApprovalRole=BOB)
    assert "ApproverRole" not in made.types
    step = written["Workflows"][0]["Steps"][0]["ExecutionBlockConfiguration"]["ExecutionApprovalConfig"]
    assert step["ApprovalRole"] == BOB


# ---------------------------------------------------------------- objectives

APPROVALS: Final = (5, 10, 15, 30, 60)
RECOVERIES: Final = (10, 15, 20, 30, 60, 120)


@pytest.mark.parametrize("approval", APPROVALS)
@pytest.mark.parametrize("recovery", RECOVERIES)
def test_approval_and_all_the_rest_fit_into_the_recovery_time(approval: int, recovery: int) -> None:
    """A deployment whose objective is shorter than what it is the sum of is refused."""
    given = {"ApprovalMinutes": str(approval), "RecoveryTimeMinutes": str(recovery)}
    if approval + BUDGET_MIN <= recovery:
        outputs = deployed("secondary", **given).outputs
        assert f"recovery time {recovery} min, of which {approval} min" in str(outputs["RecoveryObjectives"])
    else:
        with pytest.raises(TemplateError, match="5 more than ApprovalMinutes"):
            deployed("secondary", **given)


def test_what_recovery_takes_beside_people_is_within_its_budget() -> None:
    """The sum, from the template's own periods and limits: seconds, each as bad as it may be."""
    made = deployed("secondary")
    down, home = made.resources["OtherRegionDownAlarm"], made.resources["IsHomeAlarm"]
    probe_s = int(made.resources["ProbeRegion"]["Environment"]["Variables"]["PROBE_SECONDS"])
    detection_s = int(down["EvaluationPeriods"]) * int(down["Period"]) + probe_s
    order_s = int(made.resources["SwitchRegion"]["Timeout"])
    traffic_s = (
        int(home["EvaluationPeriods"]) * int(home["Period"]) + 60 + 10
    )  # a late minute's metric, Route 53's look
    resolver_s = 60  # of an alias to an API's name: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html
    assert detection_s + order_s + traffic_s + resolver_s <= BUDGET_MIN * 60
