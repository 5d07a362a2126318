"""Experiments of AWS FIS and a Cognito user pool, as a stack that asks for them is deployed."""

from __future__ import annotations

import json
from typing import Any, Final

import boto3
import pytest
from botocore.validate import ParamValidator

from localcloud.services.contract import ACCOUNT_ID
from localcloud.template.errors import TemplateError
from tests.shape.paired import EAST, WEST, Deployment, Role, deployed

FIS: Final = "AWS::FIS::ExperimentTemplate"
HARMED: Final = ("AuthorizeRequest", "PublishRecords")
ON_FUNCTIONS: Final = {
    "DelayExperiment": ("aws:lambda:invocation-add-delay", {"startupDelayMilliseconds": "2000"}),
    "ErrorExperiment": ("aws:lambda:invocation-error", {"preventExecution": "false"}),
    "AnswerExperiment": (
        "aws:lambda:invocation-http-integration-response",
        {"preventExecution": "true", "statusCode": "503", "contentTypeHeader": "application/problem+json"},
    ),
}
KEYS: Final = "arn:aws:dynamodb:{}:" + ACCOUNT_ID + ":table/sluiceway-keys"


def experiments(role: Role) -> Deployment:
    return deployed(role, FaultExperiments="true")


# ---------------------------------------------------------------- experiments


@pytest.mark.parametrize("role", ["alone", "primary", "secondary"])
def test_without_them_nothing_of_fis_is_there(role: Role) -> None:
    """No extension on any function, no bucket, no role; the functions have the layer's own runtime client."""
    made = deployed(role)
    assert made.of(FIS) == {}
    assert not {"FaultsBucket", "FaultsRole", "ReadFaults"} & set(made.types)
    for name in HARMED:
        function = made.resources[name]
        assert len(function["Layers"]) == 1
        variables = function["Environment"]["Variables"]
        assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
        assert [key for key in variables if key.startswith("AWS_FIS")] == []


def test_the_extension_is_on_what_is_harmed_and_never_on_what_streams() -> None:
    """It suppresses streaming even idle: the functions whose answers stream keep the layer's own client alone."""
    made = experiments("alone")
    functions = made.of("AWS::Lambda::Function")
    with_it = {name for name, each in functions.items() if "AWS-FIS-extension" in str(each["Layers"])}
    assert with_it == set(HARMED)
    for name, each in functions.items():
        variables = each["Environment"]["Variables"]
        wrapper = "/opt/aws-fis/bootstrap" if name in HARMED else "/opt/bootstrap"
        assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == wrapper, name
        assert ("AWS_FIS_CONFIGURATION_LOCATION" in variables) is (name in HARMED), name
    streaming = {"StreamHttp", "StreamAnswer", "ServeSocket"}
    assert streaming <= set(functions) - with_it
    place = functions["PublishRecords"]["Environment"]["Variables"]["AWS_FIS_CONFIGURATION_LOCATION"]
    assert place == {"Fn::Sub": "${FaultsBucket.Arn}/FisConfigs/"}


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_extension_is_of_the_functions_architecture(architecture: str) -> None:
    """By the public parameter that AWS names for it, which a deployment reads in its own Region."""
    made = deployed("alone", FaultExperiments="true", Architecture=architecture)
    layer = f"read:/aws/service/fis/lambda-extension/AWS-FIS-extension-{architecture}/1.x.x"
    assert [made.resources[name]["Layers"][1] for name in HARMED] == [layer, layer]


@pytest.mark.parametrize("name", ON_FUNCTIONS)
def test_each_experiment_harms_a_part_for_minutes_and_stops_on_our_alarms(name: str) -> None:
    """Both functions by ARN, some of their invocations, 5 minutes at most; either alarm ends it."""
    written = experiments("alone").resources[name]
    action, more = ON_FUNCTIONS[name]
    (given,) = written["Actions"].values()
    assert given["ActionId"] == action
    percentage, duration = given["Parameters"]["invocationPercentage"], given["Parameters"]["duration"]
    assert given["Parameters"] == {"duration": duration, "invocationPercentage": percentage, **more}
    assert int(percentage) <= 50
    assert duration in {"PT2M", "PT5M"}
    assert given["Targets"] == {"Functions": "functions"}
    assert written["Targets"]["functions"] == {
        "ResourceType": "aws:lambda:function",
        "ResourceArns": [{"Fn::GetAtt": [function, "Arn"]} for function in HARMED],
        "SelectionMode": "ALL",
    }
    stops = [(each["Source"], each["Value"]["Fn::GetAtt"][0]) for each in written["StopConditions"]]
    assert stops == [("aws:cloudwatch:alarm", "ApiFailuresAlarm"), ("aws:cloudwatch:alarm", "JobsQueueAgeAlarm")]


@pytest.mark.parametrize(("role", "region"), [("primary", EAST), ("secondary", WEST)])
def test_replication_of_keys_may_be_paused_in_a_pair(role: Role, region: str) -> None:
    """This Region's replica of the shared table; a stack on its own has nothing to pause."""
    written = experiments(role).resources["ReplicationExperiment"]
    assert written["Targets"]["tables"]["ResourceArns"] == [KEYS.format(region)]
    assert written["Targets"]["tables"]["ResourceType"] == "aws:dynamodb:global-table"
    assert written["Actions"]["pause"] == {
        "ActionId": "aws:dynamodb:global-table-pause-replication",
        "Parameters": {"duration": "PT5M"},
        "Targets": {"Tables": "tables"},
    }
    assert sorted(experiments("alone").of(FIS)) == sorted(ON_FUNCTIONS)


def test_experiments_are_ones_that_fis_takes() -> None:
    """Every member is CreateExperimentTemplate's; a misspelt one is found."""
    shape = (
        boto3.client("fis", region_name=EAST).meta.service_model.operation_model("CreateExperimentTemplate").input_shape
    )
    for written in experiments("primary").of(FIS).values():
        asked = _as_api(written) | {"clientToken": "t"}
        assert ParamValidator().validate(asked, shape).generate_report() == ""
        asked["stopConditions"][0]["sauce"] = "x"
        assert "sauce" in ParamValidator().validate(asked, shape).generate_report()


def _as_api(value: Any, *, named: bool = False) -> Any:
    """CloudFormation's words as the API has them: members begin small, names of ours (`named`) stay."""
    if isinstance(value, list):
        return [_as_api(each) for each in value]
    if not isinstance(value, dict):
        return value
    if any(key.startswith("Fn::") for key in value):
        return "arn:aws:made:us-east-1:123456789012:thing"
    if named:
        return {key: _as_api(each) for key, each in value.items()}
    ours = {"Actions", "Parameters", "Tags", "Targets"}
    return {key[0].lower() + key[1:]: _as_api(each, named=key in ours) for key, each in value.items()}


@pytest.mark.parametrize("role", ["alone", "secondary"])
def test_the_experiments_role_may_do_no_more_than_they_need(role: Role) -> None:
    """FIS alone takes it on, for this account; the bucket's folder, two functions, and in a pair the table's policy."""
    made = experiments(role)
    (trust,) = made.resources["FaultsRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "fis.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT_ID}}
    folder = {"Fn::Sub": "${FaultsBucket.Arn}/FisConfigs/*"}
    granted = [
        *(("Allow", f"s3:{name}", folder) for name in ("PutObject", "DeleteObject")),
        *(("Allow", "lambda:GetFunction", {"Fn::GetAtt": [name, "Arn"]}) for name in HARMED),
    ]
    if role == "secondary":
        names = ("DescribeTable", "GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy")
        granted += [("Allow", f"dynamodb:{name}", KEYS.format(WEST)) for name in names]
    assert list(made.granted("FaultsRole")) == granted
    reads = [each for each in made.granted("PublishRecordsRole") if each[1].startswith("s3:")]
    assert reads == [
        ("Allow", "s3:ListBucket", {"Fn::GetAtt": ["FaultsBucket", "Arn"]}),
        ("Allow", "s3:GetObject", folder),
    ]


# ---------------------------------------------------------------- user pool

POOL: Final = {"UserPool": "true", "TokenIssuer": "", "TokenKeys": ""}


def test_a_user_pool_is_the_issuer_of_every_function_that_verifies() -> None:
    """Issuer, keys and audience are the pool's and its client's: of ID tokens, since access tokens have no `aud`."""
    made = deployed("alone", **POOL)
    issuer = "https://cognito-idp.${AWS::Region}.${AWS::URLSuffix}/${Users}"
    for name in ("AuthorizeRequest", "StreamHttp"):
        variables = made.resources[name]["Environment"]["Variables"]
        assert variables["TOKEN_ISSUER"] == {"Fn::Sub": issuer}
        assert variables["TOKEN_KEYS_URL"] == {"Fn::Sub": f"{issuer}/.well-known/jwks.json"}
        assert (variables["TOKEN_AUDIENCE"], variables["TOKEN_KEYS"]) == ({"Ref": "UsersClient"}, "")
    groups = {each["GroupName"] for each in made.of("AWS::Cognito::UserPoolGroup").values()}
    assert groups == {"publishers", "readers"}
    assert made.resources["UsersClient"]["GenerateSecret"] is False
    assert made.resources["Users"]["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}


def test_the_other_region_is_given_the_pools_issuer() -> None:
    """The output is a list as TokenIssuers takes it, with all that a verifier needs."""
    made = deployed("primary", **POOL)
    text = made.outputs["TokenIssuersOfPool"]["Value"]["Fn::Sub"]
    for name, value in {
        "${AWS::Region}": EAST,
        "${AWS::URLSuffix}": "amazonaws.com",
        "${Users}": "us-east-1_x",
        "${UsersClient}": "c1",
    }.items():
        text = text.replace(name, value)
    issuer = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_x"
    assert json.loads(text) == [{"issuer": issuer, "audiences": ["c1"], "keysUrl": f"{issuer}/.well-known/jwks.json"}]
    other = deployed("secondary", TokenIssuers=text)
    assert other.resources["AuthorizeRequest"]["Environment"]["Variables"]["TOKEN_ISSUERS"] == text
    assert other.of("AWS::Cognito::UserPool") == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"TokenIssuer": ""}, "A TokenIssuer is needed, or a UserPool"),
        ({"TokenKeys": ""}, "A TokenIssuer has TokenKeys"),
        ({"UserPool": "true"}, "A UserPool is the issuer"),
        ({"UserPool": "true", "TokenIssuer": ""}, "A UserPool has its own keys"),
    ],
)
def test_there_is_one_issuer_to_begin_with(given: dict[str, str], said: str) -> None:
    """Neither none, nor one that would be passed over in silence."""
    with pytest.raises(TemplateError, match=said):
        deployed("alone", **given)
