"""The Lambda API's operations: what they change, what they answer, and what they refuse in Lambda's words."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session

from localcloud.clock import LoopClock
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.compute.layers import LayerVersion
from localcloud.gateway.cors import Cors
from localcloud.gateway.function_url import FunctionUrl
from localcloud.services.lambda_.api import ApiParts
from localcloud.services.lambda_.routes import find_call
from localcloud.services.lambda_.wire import LambdaService
from localcloud.services.logs.model import Logs
from tests.lambda_parts import Archives, ask, make_parts, make_request, make_service
from tests.unit.lambda_setup import ARN, ROLE, Room
from tests.unit.test_function_code import archive

OLD, CONCURRENCY, PROVISIONED, EVENTS, URLS = "2015-03-31", "2019-09-30", "2019-09-30", "2019-09-25", "2021-10-31"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


@dataclass
class Api:
    """The API with one function, f, whose code is a folder."""

    parts: ApiParts
    service: LambdaService
    folder: Path
    made: list[Room]

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        return await ask(self.service, make_request(method, f"/{path}", body, query=query))

    async def good(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        status, answer = await self.call(method, path, body, **query)
        assert status < 300, answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str, str]:
        """Status, code and message."""
        request = make_request(method, f"/{path}", body, query=query)
        answer = await self.service.handle(request)
        assert answer.status >= 400
        said = json.loads(bytes(answer.body))  # type: ignore[arg-type]
        return answer.status, answer.headers["x-amzn-errortype"], said.get("message") or said["Message"]

    async def publish(self, **changes: Any) -> str:
        await self.good("PUT", f"{OLD}/functions/f/configuration", {"Environment": {"Variables": changes}})
        return (await self.good("POST", f"{OLD}/functions/f/versions", {}))["Version"]


async def echo(asked: FunctionSpec, request: Request) -> Outcome:
    return Outcome(json.dumps([asked.version, dict(asked.environment)]).encode())


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Api]:
    async with open_api(tmp_path) as found:
        yield found


@asynccontextmanager
async def open_api(base: Path, **changes: Any) -> AsyncGenerator[Api]:
    clock = LoopClock(asyncio.get_running_loop())
    made: list[Room] = []
    folder = base / "code"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")
    async with asyncio.TaskGroup() as group:
        functions = Functions(
            lambda asked: Room(asked, echo, made, 0),
            group=group,
            clock=clock,
            logs=Logs(clock=clock),
            rng=random.Random(3),
        )
        functions.add(
            FunctionSpec(
                name="f",
                arn=ARN,
                handler="app.handler",
                code_dir=folder,
                role_arn=ROLE,
                revision_id="r0",
                tags={"k": "v"},
            )
        )
        parts = make_parts(functions, base, clock=clock, **changes)
        yield Api(parts, make_service(parts), folder, made)
        await functions.close()


async def test_every_route_is_that_of_the_model() -> None:
    """Each operation of the API's model is found by its own method and path, and no other by them."""
    model = get_session().get_service_model("lambda")
    samples = {"FunctionName": "f", "Name": "live", "StatementId": "s", "LayerName": "l", "VersionNumber": "1"}
    for name in model.operation_names:
        if "EventSourceMapping" in name:
            continue
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        for member in ("Resource", "CodeSigningConfigArn", "Arn"):
            samples[member] = "arn"
        asked = make_request(http["method"], path.format(**samples))
        found = find_call(
            make_request(http["method"], path.format(**samples), query=dict([query.split("=")] if query else []))
        )
        assert found.operation == name, asked


async def test_what_is_not_served_is_refused_by_its_name(api: Api) -> None:
    """501 with the operation's name, InvokeAsync among them; a path that is none has itself in the answer."""
    for method, path, name in (
        ("POST", "2014-11-13/functions/f/invoke-async", "InvokeAsync"),
        ("POST", "2018-10-31/layers/l/versions", "PublishLayerVersion"),
        ("POST", f"{URLS}/functions/f/url", "CreateFunctionUrlConfig"),
        ("GET", "1999-01-01/nothing", "GET /1999-01-01/nothing"),
    ):
        status, code, said = await api.refused(method, path)
        assert (status, code, said) == (501, "NotImplemented", f"{name} of Lambda is not served by this local cloud.")


async def test_a_configuration_is_changed_and_its_versions_are_not(api: Api) -> None:
    """What is given changes, the rest stays; a new revision; the next invocation has it, a version keeps its own."""
    assert await api.publish(AA="1") == "1"
    before = await api.good("GET", f"{OLD}/functions/f/configuration")
    changed = await api.good(
        "PUT",
        f"{OLD}/functions/f/configuration",
        {
            "Timeout": 9,
            "MemorySize": 256,
            "Description": "d",
            "Handler": "app.other",
            "Runtime": "python3.12",
            "Environment": {"Variables": {"AA": "2"}},
            "TracingConfig": {"Mode": "Active"},
            "DeadLetterConfig": {"TargetArn": QUEUE},
            "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "/g"},
            "RevisionId": before["RevisionId"],
        },
    )
    assert (changed["Timeout"], changed["MemorySize"], changed["Handler"], changed["Runtime"]) == (
        9,
        256,
        "app.other",
        "python3.12",
    )
    assert (changed["TracingConfig"], changed["DeadLetterConfig"]) == ({"Mode": "Active"}, {"TargetArn": QUEUE})
    assert changed["LoggingConfig"]["LogGroup"] == "/g"
    assert changed["LastUpdateStatus"] == "Successful"
    assert changed["RevisionId"] != before["RevisionId"]
    assert (changed["Role"], changed["CodeSha256"]) == (ROLE, before["CodeSha256"])
    assert await api.good("POST", f"{OLD}/functions/f/invocations", {}) == ["$LATEST", {"AA": "2"}]
    assert await api.good("POST", f"{OLD}/functions/f/invocations", {}, Qualifier="1") == ["1", {"AA": "1"}]
    removed = await api.good("PUT", f"{OLD}/functions/f/configuration", {"DeadLetterConfig": {"TargetArn": ""}})
    assert "DeadLetterConfig" not in removed


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint"),
        ({"MemorySize": 127}, "ValidationException", "Member must have value greater than or equal to 128"),
        ({"Timeout": "9"}, "SerializationException", "Timeout must be an Integer"),
        ({"Handler": "a b"}, "ValidationException", "at 'handler'"),
        ({"Role": "nobody"}, "ValidationException", "at 'role'"),
        ({"Runtime": "nodejs22.x"}, "InvalidParameterValueException", "only Python functions run here"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "reserved keys"),
        ({"Environment": {"Variables": {"1A": "x"}}}, "ValidationException", "Map keys must satisfy constraint"),
        ({"Environment": {"Variables": {"A": "x" * 4096}}}, "ValidationException", "Map keys"),
        (
            {"Environment": {"Variables": {"AA": "x" * 4096}}},
            "InvalidParameterValueException",
            "exceeded the 4KB limit",
        ),
        ({"Environment": {"Variables": {"AA": 1}}}, "SerializationException", "a Map of String to String"),
        ({"VpcConfig": {"SubnetIds": ["s"]}}, "InvalidParameterValueException", "networks are not served"),
        ({"KMSKeyArn": "arn:aws:kms:::k"}, "InvalidParameterValueException", "not encrypted"),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "InvalidParameterValueException", "SnapStart is not served"),
        ({"EphemeralStorage": {"Size": 1024}}, "InvalidParameterValueException", "EphemeralStorage"),
        ({"Layers": ["arn:aws:lambda:us-east-1:1:layer:l:1"]}, "InvalidParameterValueException", "does not exist."),
        ({"Layers": ["l:1", "l:2"]}, "InvalidParameterValueException", "Two different versions of the same layer"),
        ({"Layers": list("abcdef")}, "InvalidParameterValueException", "Cannot reference more than 5 layers."),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:s3:::b"}}, "InvalidParameterValueException", "only standard SQS"),
        ({"LoggingConfig": {"ApplicationLogLevel": "INFO"}}, "InvalidParameterValueException", "needs LogFormat JSON"),
        ({"RevisionId": "old"}, "PreconditionFailedException", "Call the GetFunction/GetAlias API"),
        ([], "SerializationException", "The request body is no JSON object."),
    ],
)
async def test_a_configuration_that_cannot_be(api: Api, body: Any, code: str, said: str) -> None:
    """Refused in Lambda's words, and nothing is changed."""
    before = api.parts.records["f"].spec
    status, found, text = await api.refused("PUT", f"{OLD}/functions/f/configuration", body)
    assert (status, found) == (412 if code == "PreconditionFailedException" else 400, code)
    assert said in text
    assert api.parts.records["f"].spec == before


async def test_a_version_and_an_alias_are_not_changed(api: Api) -> None:
    """Only $LATEST is, by either operation, whatever way it is named."""
    await api.publish(NO="1")
    await api.good("POST", f"{OLD}/functions/f/aliases", {"Name": "live", "FunctionVersion": "1"})
    for name in ("f:1", "f:live"):
        for what, body in (("configuration", {"Timeout": 9}), ("code", {"ZipFile": ""})):
            _, code, said = await api.refused("PUT", f"{OLD}/functions/{name}/{what}", body)
            assert (code, "Aliases and versions cannot be changed" in said) == ("InvalidParameterValueException", True)
    assert (await api.good("PUT", f"{OLD}/functions/f:$LATEST/configuration", {"Timeout": 9}))["Timeout"] == 9


async def test_a_role_that_lambda_may_not_assume_is_refused(tmp_path: Path) -> None:
    """As at CreateFunction."""
    async with open_api(tmp_path, may_assume=lambda _: False) as api:
        _, _, said = await api.refused("PUT", f"{OLD}/functions/f/configuration", {"Role": ROLE})
        assert said == "The role defined for the function cannot be assumed by Lambda."


async def test_code_is_changed_by_an_archive(api: Api) -> None:
    """By its bytes or from S3; a dry run changes nothing; Publish makes a version of it."""
    path, content = f"{OLD}/functions/f/code", archive(app=b"x = 2\n")
    given = {"ZipFile": base64.b64encode(content).decode()}
    dry = await api.good("PUT", path, {**given, "DryRun": True})
    assert api.parts.records["f"].spec.code_dir == api.folder
    changed = await api.good("PUT", path, given)
    assert (changed["CodeSha256"], changed["CodeSize"]) == (dry["CodeSha256"], len(content))
    assert (api.parts.records["f"].spec.code_dir / "app.py").read_bytes() == b"x = 2\n"
    objects = api.parts.read_object
    assert isinstance(objects, Archives)
    objects.objects[("b", "k")] = archive(app=b"x = 3\n")
    published = await api.good("PUT", path, {"S3Bucket": "b", "S3Key": "k", "Publish": True})
    assert (published["Version"], published["FunctionArn"]) == ("1", f"{ARN}:1")
    for body, said in (
        ({}, "Please provide a source for function code."),
        ({"S3Bucket": "b", "S3Key": "gone"}, "Error occurred while GetObject. S3 Error Code: NoSuchKey."),
        ({"ZipFile": base64.b64encode(b"no").decode()}, "Could not unzip uploaded file."),
        ({"ZipFile": "%"}, "ZipFile must be a Blob"),
        ({"ImageUri": "i"}, "container images are not served"),
        ({**given, "RevisionId": "old"}, "The Revision Id provided does not match"),
    ):
        assert said in (await api.refused("PUT", path, body))[2]


async def test_a_function_is_made_and_unmade(api: Api) -> None:
    """CreateFunction of an archive, invoked at once; its name once; DeleteFunction with all that is its."""
    body = {
        "FunctionName": "g",
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": base64.b64encode(archive(app=b"")).decode()},
        "Environment": {"Variables": {"AA": "1"}},
        "Tags": {"team": "blue"},
        "Publish": True,
    }
    status, made = await api.call("POST", f"{OLD}/functions", body)
    assert (status, made["Version"], made["State"]) == (201, "1", "Active")
    assert await api.good("POST", f"{OLD}/functions/g/invocations", {}) == ["$LATEST", {"AA": "1"}]
    assert (await api.good("GET", f"{OLD}/functions/g"))["Tags"] == {"team": "blue"}
    assert await api.refused("POST", f"{OLD}/functions", body) == (
        409,
        "ResourceConflictException",
        "Function already exist: g",
    )
    await api.good("POST", f"{OLD}/functions/g/policy", {"StatementId": "s", "Action": "lambda:*", "Principal": "*"})
    await api.good("DELETE", f"{OLD}/functions/g", Qualifier="1")
    assert [each["Version"] for each in (await api.good("GET", f"{OLD}/functions/g/versions"))["Versions"]] == [
        "$LATEST"
    ]
    await api.good("DELETE", f"{OLD}/functions/g")
    assert (await api.refused("GET", f"{OLD}/functions/g"))[0] == 404
    assert api.parts.policies.of("arn:aws:lambda:us-east-1:123456789012:function:g") == ()
    for change, said in (
        ({"FunctionName": "a b"}, "at 'functionName' failed"),
        ({"FunctionName": "g:1"}, "at 'functionName' failed"),
        ({"Role": None}, "Value 'null' at 'role'"),
        ({"PackageType": "Image"}, "container images are not served"),
        ({"CodeSigningConfigArn": "arn"}, "code signing is not served"),
        ({"Tags": {"aws:x": "1"}}, "The tag 'aws:x' is not valid"),
        ({"Architectures": ["x86_64", "arm64"]}, "at 'architectures'"),
    ):
        assert said in (await api.refused("POST", f"{OLD}/functions", {**body, **change}))[2]
    assert "g" not in api.parts.records


async def test_lists_come_in_pages(api: Api) -> None:
    """MaxItems and Marker for functions, versions and aliases; nonsense is refused."""
    for number in (1, 2, 3):
        assert await api.publish(NO=str(number)) == str(number)
        await api.good("POST", f"{OLD}/functions/f/aliases", {"Name": f"a{number}", "FunctionVersion": str(number)})
    first = await api.good("GET", f"{OLD}/functions/f/versions", MaxItems="2")
    assert [each["Version"] for each in first["Versions"]] == ["$LATEST", "1"]
    rest = await api.good("GET", f"{OLD}/functions/f/versions", Marker=first["NextMarker"])
    assert [each["Version"] for each in rest["Versions"]] == ["2", "3"]
    assert "NextMarker" not in rest
    aliases = await api.good("GET", f"{OLD}/functions/f/aliases", MaxItems="1", FunctionVersion="2")
    assert [each["Name"] for each in aliases["Aliases"]] == ["a2"]
    everything = await api.good("GET", f"{OLD}/functions", FunctionVersion="ALL")
    assert [each["FunctionArn"].rpartition(":")[2] for each in everything["Functions"]] == ["$LATEST", "1", "2", "3"]
    assert all("State" not in each for each in everything["Functions"])
    for query in ({"MaxItems": "0"}, {"MaxItems": "10001"}, {"MaxItems": "x"}, {"Marker": "nonsense"}):
        assert (await api.refused("GET", f"{OLD}/functions/f/versions", **query))[0] == 400


async def test_an_alias_has_a_revision_and_an_update_keeps_what_is_not_given(api: Api) -> None:
    """RoutingConfig {} takes the weights away; a revision of the past is refused; Delete may be repeated."""
    await api.publish(NO="1")
    await api.publish(NO="2")
    path = f"{OLD}/functions/f/aliases"
    weights = {"AdditionalVersionWeights": {"2": 0.25}}
    made = await api.good("POST", path, {"Name": "live", "FunctionVersion": "1", "RoutingConfig": weights})
    assert (made["AliasArn"], made["RoutingConfig"]) == (f"{ARN}:live", weights)
    assert (await api.refused("POST", path, {"Name": "live", "FunctionVersion": "1"}))[:2] == (
        409,
        "ResourceConflictException",
    )
    changed = await api.good("PUT", f"{path}/live", {"Description": "d", "RevisionId": made["RevisionId"]})
    assert (changed["Description"], changed["FunctionVersion"], changed["RoutingConfig"]) == ("d", "1", weights)
    assert (await api.refused("PUT", f"{path}/live", {"RevisionId": made["RevisionId"]}))[0] == 412
    moved = await api.good("PUT", f"{path}/live", {"FunctionVersion": "2", "RoutingConfig": {}})
    assert (moved["FunctionVersion"], "RoutingConfig" in moved) == ("2", False)
    for _ in range(2):
        await api.good("DELETE", f"{path}/live")
    assert (await api.refused("GET", f"{path}/live"))[2] == f"Cannot find alias arn: {ARN}:live"


async def test_provisioned_environments_follow_an_alias(api: Api) -> None:
    """From one version to the next, when the alias is moved."""
    await api.publish(NO="1")
    await api.publish(NO="2")
    await api.good("POST", f"{OLD}/functions/f/aliases", {"Name": "live", "FunctionVersion": "1"})
    path = f"{PROVISIONED}/functions/f/provisioned-concurrency"
    status, made = await api.call("PUT", path, {"ProvisionedConcurrentExecutions": 1}, Qualifier="live")
    assert (status, made["Status"], made["RequestedProvisionedConcurrentExecutions"]) == (202, "IN_PROGRESS", 1)
    await asyncio.sleep(0.01)
    assert (await api.good("GET", path, Qualifier="live"))["Status"] == "READY"
    await api.good("PUT", f"{OLD}/functions/f/aliases/live", {"FunctionVersion": "2"})
    await asyncio.sleep(0.01)
    assert [(room.spec.version, room.stopped) for room in api.made] == [("1", True), ("2", False)]
    (listed,) = (await api.good("GET", path, List="ALL"))["ProvisionedConcurrencyConfigs"]
    assert listed["FunctionArn"] == f"{ARN}:live"
    await api.good("DELETE", path, Qualifier="live")
    assert (await api.refused("GET", path, Qualifier="live"))[1] == "ProvisionedConcurrencyConfigNotFoundException"
    for qualifier, code in (("$LATEST", "InvalidParameterValueException"), ("9", "ResourceNotFoundException")):
        assert (await api.refused("GET", path, Qualifier=qualifier))[1] == code
    assert (await api.refused("PUT", path, {"ProvisionedConcurrentExecutions": 0}, Qualifier="1"))[0] == 400


async def test_concurrency_is_reserved_and_the_account_says_what_is_left(api: Api) -> None:
    """Put, Get, Delete; not of a version; GetAccountSettings has 1,000 less what is reserved."""
    put, get = "2017-10-31/functions/f/concurrency", f"{CONCURRENCY}/functions/f/concurrency"
    assert await api.good("GET", get) == {}
    assert await api.good("PUT", put, {"ReservedConcurrentExecutions": 5}) == {"ReservedConcurrentExecutions": 5}
    assert await api.good("GET", get) == {"ReservedConcurrentExecutions": 5}
    assert (await api.good("GET", f"{OLD}/functions/f"))["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    limits = await api.good("GET", "2016-08-19/account-settings")
    assert limits["AccountLimit"]["UnreservedConcurrentExecutions"] == 995
    assert limits["AccountUsage"] == {"TotalCodeSize": 6, "FunctionCount": 1}
    await api.good("DELETE", put)
    assert await api.good("GET", get) == {}
    assert "minimum value of [100]" in (await api.refused("PUT", put, {"ReservedConcurrentExecutions": 901}))[2]
    assert (await api.refused("PUT", put, {"ReservedConcurrentExecutions": -1}))[1] == "ValidationException"
    assert (await api.refused("PUT", put, {}))[1] == "ValidationException"
    named = put.replace("functions/f", "functions/f:1")
    assert "Aliases and versions do not support" in (await api.refused("PUT", named, {}))[2]


async def test_settings_of_events_are_put_updated_and_listed(api: Api) -> None:
    """Put forgets what it is not given, Update keeps it; each qualifier has its own."""
    await api.publish(NO="1")
    path = f"{EVENTS}/functions/f/event-invoke-config"
    assert "doesn't have an EventInvokeConfig" in (await api.refused("GET", path))[2]
    assert "doesn't have an EventInvokeConfig" in (await api.refused("POST", path, {"MaximumRetryAttempts": 1}))[2]
    made = await api.good(
        "PUT", path, {"MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}
    )
    assert (made["FunctionArn"], made["MaximumRetryAttempts"]) == (f"{ARN}:$LATEST", 0)
    assert made["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}
    kept = await api.good("POST", path, {"MaximumEventAgeInSeconds": 60})
    assert (kept["MaximumRetryAttempts"], kept["MaximumEventAgeInSeconds"]) == (0, 60)
    await api.good("PUT", path, {"MaximumRetryAttempts": 2}, Qualifier="1")
    forgotten = await api.good("PUT", path, {"MaximumEventAgeInSeconds": 90})
    assert "MaximumRetryAttempts" not in forgotten
    listed = await api.good("GET", f"{path}/list")
    assert [each["FunctionArn"] for each in listed["FunctionEventInvokeConfigs"]] == [f"{ARN}:$LATEST", f"{ARN}:1"]
    await api.good("DELETE", path)
    assert (await api.refused("DELETE", path))[0] == 404
    assert "must specify at least one" in (await api.refused("PUT", path, {}))[2]
    assert (await api.refused("PUT", path, {"MaximumRetryAttempts": 3}))[1] == "ValidationException"
    assert (await api.refused("PUT", path, {"MaximumRetryAttempts": 1}, Qualifier="9"))[
        2
    ] == "The function doesn't exist."


async def test_a_policy_is_of_what_it_was_added_to(api: Api) -> None:
    """A version's policy is not the function's; statement ids are once in each; the revision moves with it."""
    await api.publish(NO="1")
    path = f"{OLD}/functions/f/policy"
    body = {
        "StatementId": "s",
        "Action": "lambda:InvokeFunction",
        "Principal": "sns.amazonaws.com",
        "SourceArn": "arn:aws:sns:us-east-1:123456789012:t",
        "SourceAccount": "123456789012",
    }
    revision = (await api.good("GET", f"{OLD}/functions/f/configuration"))["RevisionId"]
    added = json.loads((await api.good("POST", path, {**body, "RevisionId": revision}))["Statement"])
    assert added == {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": {
            "ArnLike": {"AWS:SourceArn": "arn:aws:sns:us-east-1:123456789012:t"},
            "StringEquals": {"AWS:SourceAccount": "123456789012"},
        },
    }
    policy = await api.good("GET", path)
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [added]}
    assert policy["RevisionId"] != revision
    assert (await api.refused("POST", path, body))[:2] == (409, "ResourceConflictException")
    assert (await api.refused("POST", path, {**body, "StatementId": "t", "RevisionId": revision}))[0] == 412
    assert (await api.refused("GET", path, Qualifier="1"))[0] == 404
    await api.good("POST", path, {**body, "Principal": "123456789012"}, Qualifier="1")
    own = json.loads((await api.good("GET", path, Qualifier="1"))["Policy"])["Statement"][0]
    assert (own["Resource"], own["Principal"]) == (f"{ARN}:1", {"AWS": "arn:aws:iam::123456789012:root"})
    source = "arn:aws:sns:us-east-1:123456789012:t"
    allows = api.parts.policies.allows
    assert allows(ARN, service="sns.amazonaws.com", source_arn=source)
    assert allows(f"{ARN}:$LATEST", service="sns.amazonaws.com", source_arn=source)
    assert not allows(f"{ARN}:1", service="sns.amazonaws.com", source_arn=source)
    await api.good("DELETE", f"{path}/s")
    assert (await api.good("GET", path, Qualifier="1"))["Policy"]
    assert (await api.refused("DELETE", f"{path}/s"))[2] == "No policy is associated with the given resource."
    assert (await api.refused("DELETE", f"{path}/x", Qualifier="1"))[
        2
    ] == "Statement x is not found in resource policy."
    for change, said in (
        ({"StatementId": "a b"}, "at 'statementId'"),
        ({"Action": "sqs:SendMessage"}, "at 'action'"),
        ({"PrincipalOrgID": "o-1234567890"}, "PrincipalOrgID is not served"),
    ):
        assert said in (await api.refused("POST", path, {**body, **change}))[2]
    latest = await api.refused("POST", path, body, Qualifier="$LATEST")
    assert latest[2] == "We currently do not support adding policies for $LATEST."


async def test_a_policy_is_bounded(api: Api) -> None:
    """Twenty kilobytes; the statement that is over them is not added."""
    path = f"{OLD}/functions/f/policy"
    body = {"Action": "lambda:*", "Principal": "*", "SourceArn": "arn:aws:s3:::" + "b" * 2000}
    for number in range(9):
        await api.good("POST", path, {**body, "StatementId": f"s{number}"})
    assert (await api.refused("POST", path, {**body, "StatementId": "s9"}))[1] == "PolicyLengthExceededException"
    assert len(api.parts.policies.of(ARN)) == 9


async def test_tags_are_of_functions(api: Api) -> None:
    """Added, changed and taken away; bounded; not of versions."""
    path = f"2017-03-31/tags/{ARN}"
    await api.good("POST", path, {"Tags": {"a": "1", "k": "w"}})
    assert await api.good("GET", path) == {"Tags": {"k": "w", "a": "1"}}
    await api.good("DELETE", path, tagKeys=["a", "gone"])
    assert await api.good("GET", path) == {"Tags": {"k": "w"}}
    assert api.parts.functions.environments("f") == 0
    assert "are not supported" in (await api.refused("POST", f"{path}:1", {"Tags": {"a": "1"}}))[2]
    assert (await api.refused("GET", "2017-03-31/tags/nonsense"))[1] == "ValidationException"
    assert (await api.refused("DELETE", path))[1] == "ValidationException"
    assert (await api.refused("GET", f"{path}x"))[0] == 404
    many = {f"t{number}": "" for number in range(50)}
    assert (await api.refused("POST", path, {"Tags": many}))[2] == "Number of tags exceeds resource tag limit."


async def test_layers_and_urls_are_looked_at(tmp_path: Path) -> None:
    """Versions the newest first; the URL of a function and that of an alias apart."""
    cors = Cors(allow_origins=("*",))
    urls = (
        FunctionUrl(id="u1", function_arn=ARN, is_public=True, cors=cors),
        FunctionUrl(id="u2", function_arn=f"{ARN}:live", is_public=False, streams=True),
    )
    async with open_api(tmp_path, urls=lambda: urls) as api:
        await api.publish(NO="1")
        await api.good("POST", f"{OLD}/functions/f/aliases", {"Name": "live", "FunctionVersion": "1"})
        for number in (1, 2):
            api.parts.layers.add(
                LayerVersion(
                    name="l",
                    arn="arn:aws:lambda:us-east-1:123456789012:layer:l",
                    version=number,
                    folder=tmp_path,
                    runtimes=("python3.13",) if number == 2 else (),
                )
            )
        (newest,) = (await api.good("GET", "2018-10-31/layers"))["Layers"]
        assert newest["LatestMatchingVersion"]["Version"] == 2
        listed = await api.good("GET", "2018-10-31/layers/l/versions")
        assert [each["Version"] for each in listed["LayerVersions"]] == [2, 1]
        suited = await api.good("GET", "2018-10-31/layers/l/versions", CompatibleRuntime="python3.13")
        assert [each["Version"] for each in suited["LayerVersions"]] == [2]
        one = await api.good("GET", "2018-10-31/layers/l/versions/1")
        assert one["LayerVersionArn"].endswith(":layer:l:1")
        by_arn = await api.good("GET", "2018-10-31/layers", find="LayerVersion", Arn=one["LayerVersionArn"])
        assert by_arn == one
        assert (await api.refused("GET", "2018-10-31/layers/l/versions/9"))[0] == 404
        assert (await api.refused("GET", "2018-10-31/layers/l/versions/0"))[2] == "Layer Version Cannot be less than 1"
        own = await api.good("GET", f"{URLS}/functions/f/url")
        assert (own["AuthType"], own["Cors"]["AllowOrigins"]) == ("NONE", ["*"])
        alias = await api.good("GET", f"{URLS}/functions/f/url", Qualifier="live")
        assert (alias["InvokeMode"], alias["FunctionArn"]) == ("RESPONSE_STREAM", f"{ARN}:live")
        assert (await api.refused("GET", f"{URLS}/functions/f/url", Qualifier="1"))[1] == "ValidationException"
        listed = await api.good("GET", f"{URLS}/functions/f/urls")
        assert [each["FunctionArn"] for each in listed["FunctionUrlConfigs"]] == [ARN, f"{ARN}:live"]


async def test_a_qualifier_in_the_name_and_one_beside_it_must_be_the_same(api: Api) -> None:
    """In the name, in the ARN, beside it; two that differ are refused; what is not there has its ARN in the error."""
    await api.publish(NO="1")
    for name, query in (("f:1", {}), (f"{ARN}:1", {}), ("f", {"Qualifier": "1"}), ("f:1", {"Qualifier": "1"})):
        assert (await api.good("GET", f"{OLD}/functions/{name}/configuration", **query))["Version"] == "1"
    refused = await api.refused("GET", f"{OLD}/functions/f:1/configuration", Qualifier="2")
    assert refused[2] == "The derived qualifier from the function name does not match the specified qualifier."
    gone = "arn:aws:lambda:us-east-1:123456789012:function:gone:7"
    assert await api.refused("GET", f"{OLD}/functions/gone", Qualifier="7") == (
        404,
        "ResourceNotFoundException",
        f"Function not found: {gone}",
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "needs"),
    [
        ("POST", f"{OLD}/functions/f/invocations", None, {"Qualifier": "live"}, [("InvokeFunction", f"{ARN}:live")]),
        ("POST", f"{OLD}/functions/f:live/invocations", None, {}, [("InvokeFunction", f"{ARN}:live")]),
        ("PUT", f"{OLD}/functions/f/code", {}, {}, [("UpdateFunctionCode", ARN)]),
        ("POST", f"{OLD}/functions", {"FunctionName": "f", "Role": ROLE}, {}, [("CreateFunction", ARN), ("", ROLE)]),
        (
            "PUT",
            f"{OLD}/functions/f/configuration",
            {"Role": ROLE},
            {},
            [("UpdateFunctionConfiguration", ARN), ("", ROLE)],
        ),
        ("GET", "2018-10-31/layers", None, {}, [("ListLayers", "*")]),
        ("GET", "2016-08-19/account-settings", None, {}, [("GetAccountSettings", "*")]),
        (
            "GET",
            "2018-10-31/layers/l/versions/3",
            None,
            {},
            [("GetLayerVersion", "arn:aws:lambda:us-east-1:123456789012:layer:l:3")],
        ),
        ("GET", f"2017-03-31/tags/{ARN}", None, {}, [("ListTags", ARN)]),
        ("POST", "2014-11-13/functions/f/invoke-async", None, {}, []),
    ],
)
def test_what_iam_is_asked(method: str, path: str, body: Any, query: Any, needs: list[tuple[str, str]]) -> None:
    """The action of the service authorization reference, on the qualified ARN; iam:PassRole beside it for a role."""
    service = LambdaService(lambda _: None)
    found = [
        (need.action.removeprefix("lambda:").replace("iam:PassRole", ""), need.resource)
        for need in service.permissions(make_request(method, f"/{path}", body, query=query))
    ]
    assert found == needs


def test_tags_of_a_request_are_condition_keys() -> None:
    """aws:RequestTag and aws:TagKeys of TagResource and UntagResource."""
    service = LambdaService(lambda _: None)
    (tagging,) = service.permissions(make_request("POST", f"/2017-03-31/tags/{ARN}", {"Tags": {"a": "1"}}))
    (untagging,) = service.permissions(make_request("DELETE", f"/2017-03-31/tags/{ARN}", query={"tagKeys": ["a"]}))
    assert ("aws:RequestTag/a", "1") in tagging.context
    assert untagging.context == (("aws:TagKeys", "a"),)


async def test_loops_of_a_function_are_ended_or_let_be(api: Api) -> None:
    """Get- and PutFunctionRecursionConfig: Terminate until somebody says Allow; functions only, no versions."""
    path = "2024-08-31/functions/f/recursion-config"
    assert await api.good("GET", path) == {"RecursiveLoop": "Terminate"}
    assert await api.good("PUT", path, {"RecursiveLoop": "Allow"}) == {"RecursiveLoop": "Allow"}
    assert await api.good("GET", path) == {"RecursiveLoop": "Allow"}
    assert (await api.refused("PUT", path, {"RecursiveLoop": "Maybe"}))[:2] == (400, "ValidationException")
    assert (await api.refused("PUT", path, {}))[:2] == (400, "ValidationException")
    assert (await api.refused("GET", path.replace("/f/", "/f:1/")))[:2] == (400, "ValidationException")
    assert (await api.refused("GET", path.replace("/f/", "/g/")))[:2] == (404, "ResourceNotFoundException")
