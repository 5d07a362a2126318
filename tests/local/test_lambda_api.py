"""The Lambda API as boto3 and aioboto3 see it, over HTTP, with real function processes behind it."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import WireRequest
from localcloud.services.lambda_.wire import LambdaService
from sluiceway.aws.functions import Answered, invoke
from sluiceway.aws.wire import Wire
from sluiceway.errors import DeadlineExceeded, Misconfigured
from tests.lambda_parts import make_parts, make_service
from tests.local.compute_world import World, open_world

SOURCE = """
import time
def handler(event, context):
    if isinstance(event, dict) and event.get("fail"):
        raise KeyError("lost")
    if isinstance(event, dict) and event.get("sleep"):
        time.sleep(event["sleep"])
    print("hello from the log")
    custom = context.client_context.custom if context.client_context else None
    return {"event": event, "custom": custom}
"""
KEYS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncGenerator[tuple[World, str]]:
    async with open_world(tmp_path) as world:
        world.add(SOURCE, tags={"k": "v"}, environment={"A": "1"}, reserved_concurrency=1)
        service = make_service(make_parts(world.functions, tmp_path, clock=SystemClock()))
        front = Front([service], authorise=lambda key, needs: None, rng=random.Random(1))
        async with front.serve(open_listener()) as url:
            yield world, url


def client(url: str, **changes: Any) -> Any:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
    return boto3.client("lambda", endpoint_url=url, config=config, **(KEYS | changes))


async def call(function: Callable[..., Any], **arguments: Any) -> Any:
    return await asyncio.to_thread(lambda: function(**arguments))


async def refused(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        await call(function, **arguments)
    return error.value.response


async def test_invoke_and_wait(tmp_path: Path) -> None:
    """Status, version, payload, log tail, client context."""
    async with serving(tmp_path) as (_, url):
        context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()
        reply = await call(
            client(url).invoke,
            FunctionName="arn:aws:lambda:us-east-1:123456789012:function:f",
            Payload=b'{"text":"\xc3\xbc"}',
            LogType="Tail",
            ClientContext=context,
        )
        payload = await asyncio.to_thread(reply["Payload"].read)
    assert (reply["StatusCode"], reply["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in reply
    assert json.loads(payload) == {"event": {"text": "ü"}, "custom": {"a": "b"}}
    assert b"hello from the log" in base64.b64decode(reply["LogResult"])


async def test_a_function_error_is_a_header_and_the_errors_json(tmp_path: Path) -> None:
    """200 with FunctionError Unhandled; no log result where none was asked for."""
    async with serving(tmp_path) as (_, url):
        reply = await call(client(url).invoke, FunctionName="f", Payload=b'{"fail":true}')
        payload = await asyncio.to_thread(reply["Payload"].read)
    assert (reply["StatusCode"], reply["FunctionError"]) == (200, "Unhandled")
    assert "LogResult" not in reply
    assert json.loads(payload)["errorType"] == "KeyError"


async def test_event_and_dry_run(tmp_path: Path) -> None:
    """202 and 204, both without a payload."""
    async with serving(tmp_path) as (_, url):
        queued = await call(client(url).invoke, FunctionName="f", InvocationType="Event", Payload=b"{}")
        dry = await call(client(url).invoke, FunctionName="f", InvocationType="DryRun")
    assert (queued["StatusCode"], dry["StatusCode"]) == (202, 204)


async def test_errors_are_the_sdks_own(tmp_path: Path) -> None:
    """Each error has the code, the status and the fields that botocore knows."""
    async with serving(tmp_path) as (_, url):
        invoke = client(url).invoke
        missing = await refused(invoke, FunctionName="nowhere")
        version = await refused(invoke, FunctionName="f", Qualifier="7")
        content = await refused(invoke, FunctionName="f", Payload=b"{nonsense")
        large = await refused(invoke, FunctionName="f", Payload=b'"' + b"x" * 6_291_456 + b'"')
        context = await refused(invoke, FunctionName="f", ClientContext="%%%")
        elsewhere = await refused(client(url, region_name="eu-west-1").invoke, FunctionName="f")
        unserved = await refused(client(url).list_code_signing_configs)
    not_found = "Function not found: arn:aws:lambda:us-east-1:123456789012:function:nowhere"
    assert missing["Error"] == {"Code": "ResourceNotFoundException", "Message": not_found}
    assert (missing["Type"], missing["ResponseMetadata"]["HTTPStatusCode"]) == ("User", 404)
    assert version["Error"]["Message"].endswith("function:f:7")
    assert content["Error"]["Code"] == "InvalidRequestContentException"
    assert (large["Error"]["Code"], large["ResponseMetadata"]["HTTPStatusCode"]) == ("RequestTooLargeException", 413)
    assert large["Error"]["Message"].startswith("Request must be smaller than 6291456 bytes")
    assert context["Error"]["Code"] == "InvalidRequestContentException"
    assert elsewhere["Error"]["Code"] == "ResourceNotFoundException"
    assert unserved["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert unserved["Error"]["Message"] == "ListCodeSigningConfigs of Lambda is not served by this local cloud."


async def test_throttling_gives_its_reason(tmp_path: Path) -> None:
    """Over the reserved concurrency: 429 TooManyRequestsException with Reason."""
    async with serving(tmp_path) as (world, url):
        await world.answer({})
        busy = asyncio.create_task(world.answer({"sleep": 3}))
        await asyncio.sleep(0)
        error = await refused(client(url).invoke, FunctionName="f", Payload=b"{}")
        await busy
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("TooManyRequestsException", 429)
    assert error["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert error["Error"]["Message"] == "Rate Exceeded."
    assert error["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"


async def test_get_and_list_functions(tmp_path: Path) -> None:
    """The configuration as the SDK's model has it."""
    async with serving(tmp_path) as (_, url):
        found = await call(client(url).get_function, FunctionName="f")
        listed = await call(client(url).list_functions)
        configuration = await call(client(url).get_function_configuration, FunctionName="f")
        nowhere = await refused(client(url).get_function, FunctionName="g")
    assert found["Configuration"]["FunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert found["Configuration"]["Environment"] == {"Variables": {"A": "1"}}
    assert (found["Tags"], found["Concurrency"]) == ({"k": "v"}, {"ReservedConcurrentExecutions": 1})
    assert [entry["FunctionName"] for entry in listed["Functions"]] == ["f"]
    assert (configuration["Runtime"], configuration["State"]) == ("python3.11", "Active")
    assert nowhere["Error"]["Code"] == "ResourceNotFoundException"


async def test_aioboto3(tmp_path: Path) -> None:
    """The asynchronous SDK is served alike."""
    aioboto3 = pytest.importorskip("aioboto3")
    async with (
        serving(tmp_path) as (_, url),
        aioboto3.Session(**KEYS).client("lambda", endpoint_url=url) as lambda_,
    ):
        reply = await lambda_.invoke(FunctionName="f", Payload=b"[1]")
        payload = await reply["Payload"].read()
    assert json.loads(payload) == {"event": [1], "custom": None}


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("POST", "/2015-03-31/functions/f/invocations", [("lambda:InvokeFunction", "f")]),
        (
            "POST",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/invocations",
            [("lambda:InvokeFunction", "f")],
        ),
        ("GET", "/2015-03-31/functions/f", [("lambda:GetFunction", "f")]),
        ("GET", "/2015-03-31/functions/f/configuration", [("lambda:GetFunctionConfiguration", "f")]),
        ("GET", "/2015-03-31/functions/", [("lambda:ListFunctions", "*")]),
        ("DELETE", "/2015-03-31/functions/f", [("lambda:DeleteFunction", "f")]),
        ("POST", "/2014-11-13/functions/f/invoke-async", []),
    ],
)
def test_what_iam_would_check(method: str, path: str, needs: list[tuple[str, str]]) -> None:
    """The action, on the function's ARN."""
    request = WireRequest("lambda", "us-east-1", method, path, "", {}, b"", "AK", "r")
    found = [
        (need.action, need.resource.rpartition(":")[2]) for need in LambdaService(lambda _: None).permissions(request)
    ]
    assert found == needs


async def test_the_layers_own_client_asks_a_function(tmp_path: Path) -> None:
    """`sluiceway.aws.functions.invoke`: by name and ARN, what it answered or failed with, and what is no answer."""
    async with serving(tmp_path) as (world, url):
        world.add("def handler(event, context):\n    return event['value']\n", name="says")
        environ = {"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}
        keys = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}
        async with Wire.open({**environ, **keys}) as wire:
            for name in ("f", "arn:aws:lambda:us-east-1:123456789012:function:f"):
                answered = await invoke(wire, name, {"order": "Zoë"})
                assert answered == Answered({"event": {"order": "Zoë"}, "custom": None})
            failed = await invoke(wire, "f", {"fail": True})
            assert (failed.error, failed.payload["errorType"]) == ("'lost'", "KeyError")
            for value in (None, 7, "text", []):
                assert (await invoke(wire, "says", {"value": value})).error == "its answer is no JSON object"
            assert await invoke(wire, "says", {"value": {}}) == Answered({})
            with pytest.raises(Misconfigured):
                await invoke(wire, "nowhere", {})
            with pytest.raises(DeadlineExceeded):
                await invoke(wire, "f", {"sleep": 5}, deadline=asyncio.get_running_loop().time() + 0.3)
