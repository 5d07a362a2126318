"""Streamed responses end to end: real function processes, real sockets, an unmodified SDK, HTTP clients.

The functions wait for a file before they go on, and the test makes it half a second after it has read the first chunk:
so that chunk came at least 500 ms before the handler ended.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config

from localcloud.clock import SystemClock
from localcloud.compute.policies import FunctionPolicies, Grant
from localcloud.front import Front
from localcloud.gateway.backends import PRINCIPAL, SESSION, LambdaFunctions, UrlPolicies
from localcloud.gateway.exchange import Stage
from localcloud.gateway.function_url import FunctionUrl, FunctionUrls
from localcloud.gateway.openapi import read_api
from localcloud.gateway.rest import Backends
from localcloud.gateway.server import Gateway, GatewayServer
from localcloud.listening import open_listener
from localcloud.services.iam.model import Iam
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.lambda_.wire import LambdaService
from tests.local.compute_world import ROOT, World, open_world
from tests.local.streaming_runtime import add_streaming

pytestmark = pytest.mark.local

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/{ARN}/response-streaming-invocations"
LEAD_S = 0.5
KEYS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
TWO_CHUNKS = """
    response.http(statusCode=200, headers={"Content-Type": "text/plain"})
    response.write(b"one")
    wait_for(__file__ + ".go")
    response.write(b"two")
    response.end()
"""


@dataclass(frozen=True)
class Fronts:
    """Lambda's API, a REST API and a Function URL, all leading to function `f`."""

    world: World
    aws: str
    http: str

    @property
    def url(self) -> str:
        return f"{self.http}/lambda-url/abc/"

    @property
    def rest(self) -> str:
        return f"{self.http}/api/v1/s"

    def path(self, suffix: str) -> Path:
        """The file that the function's code names `__file__ + suffix`."""
        return self.world.code / "f" / f"app.py{suffix}"

    def invoke(self, **options: Any) -> Any:
        """InvokeWithResponseStream of an unmodified SDK; blocks."""
        config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        client = boto3.client("lambda", endpoint_url=self.aws, config=config, **KEYS)
        return client.invoke_with_response_stream(FunctionName="f", **options)


@asynccontextmanager
async def fronts(tmp_path: Path) -> AsyncGenerator[Fronts]:
    async with open_world(tmp_path) as world:
        clock, rng, iam, policies = SystemClock(), random.Random(1), Iam(random.Random(2)), FunctionPolicies()
        policies.add(ARN, Grant("all", "lambda:*", "*"))

        def may_invoke(function_arn: str, *, principal: str, source_arn: str) -> bool:
            return policies.allows(function_arn, service=principal, source_arn=source_arn)

        functions = LambdaFunctions(world.functions, may_invoke)
        front = Front([LambdaService(lambda _: world.functions)], authorise=lambda *_: None, rng=rng)
        urls = FunctionUrls(functions, UrlPolicies(iam, lambda *_: None, policies), clock=clock, random=rng)
        urls.add(FunctionUrl(id="abc", function_arn=ARN, is_public=True, streams=True))
        backends = Backends(functions, front.dispatch, RoleSessions(iam, service=PRINCIPAL, session=SESSION))
        gateway = Gateway(backends=backends, clock=clock, random=rng, urls=urls)
        gateway.deploy(read_api(_body(), api_id="api", region="us-east-1", account_id="123456789012"), Stage("v1", "d"))
        server = GatewayServer(gateway)
        port = await server.start(0)
        try:
            async with front.serve(open_listener()) as aws:
                yield Fronts(world, aws, f"http://127.0.0.1:{port}")
        finally:
            await server.stop()


def _body() -> dict[str, Any]:
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": URI, "responseTransferMode": "STREAM"}
    operation = {"x-amazon-apigateway-integration": integration}
    return {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {"/s": {"get": operation}}}


async def let_go_later(there: Fronts, read_more: Callable[[], Awaitable[bytes]]) -> bytes:
    """Nothing more comes for half a second; then the function may go on, and the rest does."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        more = group.create_task(read_more())
        finished, _ = await asyncio.wait({more}, timeout=LEAD_S)
        assert not finished
        released = loop.time()
        there.path(".go").touch()
    assert loop.time() > released
    return more.result()


@pytest.mark.parametrize("front", ["url", "rest"])
async def test_the_first_chunk_comes_long_before_the_handler_ends(tmp_path: Path, front: str) -> None:
    """Over a Function URL and over a REST API, at least 500 ms before."""
    async with fronts(tmp_path) as there, aiohttp.ClientSession() as client:
        add_streaming(there.world, TWO_CHUNKS)
        async with client.get(getattr(there, front)) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "text/plain")
            assert await response.content.readany() == b"one"
            assert await let_go_later(there, response.content.read) == b"two"


async def test_the_answer_to_head_has_no_body(tmp_path: Path) -> None:
    """The function is asked as for GET and its body is left out: another byte would be the next answer's first."""
    async with fronts(tmp_path) as there, aiohttp.ClientSession() as client:
        add_streaming(there.world, 'response.start("text/plain").write(b"one")\nresponse.end()')
        for _ in range(2):
            async with client.head(there.url) as response:
                assert (response.status, response.headers["Content-Type"]) == (200, "text/plain")
            async with client.get(there.url) as response:
                assert await response.read() == b"one"


async def test_the_sdk_gets_the_first_chunk_long_before_the_handler_ends(tmp_path: Path) -> None:
    """InvokeWithResponseStream: PayloadChunks as they are made, the prelude as it is, InvokeComplete with the log."""
    async with fronts(tmp_path) as there:
        add_streaming(there.world, TWO_CHUNKS)
        reply = await asyncio.to_thread(there.invoke, Payload=b"{}", LogType="Tail")
        events = iter(reply["EventStream"])
        assert (reply["StatusCode"], reply["ExecutedVersion"]) == (200, "$LATEST")
        head = b""
        while not head.endswith(b"one"):
            head += (await asyncio.to_thread(next, events))["PayloadChunk"]["Payload"]
        prelude, _, first = head.partition(bytes(8))
        assert (json.loads(prelude)["statusCode"], first) == (200, b"one")

        async def read_more() -> bytes:
            return (await asyncio.to_thread(next, events))["PayloadChunk"]["Payload"]

        assert await let_go_later(there, read_more) == b"two"
        (complete,) = await asyncio.to_thread(list, events)
        assert set(complete) == {"InvokeComplete"}
        assert set(complete["InvokeComplete"]) == {"LogResult"}


async def test_the_sdk_sees_errors_before_and_in_the_stream(tmp_path: Path) -> None:
    """ErrorCode and ErrorDetails; what was written before the error is there; no log where none was asked for."""
    async with fronts(tmp_path) as there:
        source = """
            if event == "before":
                response.fail(errorType="Early", errorMessage="m")
            else:
                response.start().write(b"half")
                response.end("Late", {"errorType": "Late", "errorMessage": "m"})
        """
        add_streaming(there.world, source)
        for event, chunks, kind in (("before", b"", "Early"), ("in", b"half", "Late")):
            reply = await asyncio.to_thread(there.invoke, Payload=json.dumps(event).encode())
            *parts, last = await asyncio.to_thread(list, reply["EventStream"])
            assert b"".join(part["PayloadChunk"]["Payload"] for part in parts) == chunks
            complete = last["InvokeComplete"]
            assert complete["ErrorCode"] == "Unhandled"
            assert json.loads(complete["ErrorDetails"]) == {"errorType": kind, "errorMessage": "m"}
            assert "LogResult" not in complete
        assert (await there.world.functions.invoke("f", b'"in"')).error_type == "Late"


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        ("time.sleep(60)", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ("os.kill(os.getpid(), 9)", "Runtime.TruncatedResponse", "Response was truncated"),
        ("response.connection.close()", "Runtime.TruncatedResponse", "Response was truncated"),
    ],
)
async def test_a_stream_that_does_not_end_costs_the_environment(
    tmp_path: Path, ending: str, code: str, words: str
) -> None:
    """Out of time, killed, or cut short: what came is delivered, then the error; the next invocation is served anew."""
    async with fronts(tmp_path) as there:
        source = f"""
            if event == "good":
                response.reply(os.getpid())
            else:
                response.start().write(b"half")
                {ending}
        """
        add_streaming(there.world, source, timeout_s=1)
        before = await there.world.answer("good")
        invocation = await there.world.functions.invoke_stream("f", b"{}")
        assert b"".join([chunk async for chunk in invocation.chunks()]) == b"half"
        outcome = await invocation.outcome()
        assert (outcome.error_type, words in outcome.payload.decode()) == (code, True)
        assert await there.world.answer("good") != before


@pytest.mark.parametrize("front", ["url", "rest"])
async def test_an_error_midway_cuts_the_connection(tmp_path: Path, front: str) -> None:
    """The status is out already: the body does not end, so that no client takes it for whole."""
    async with fronts(tmp_path) as there, aiohttp.ClientSession() as client:
        add_streaming(there.world, 'response.http(statusCode=200).write(b"half")\nresponse.end("Late", {})')
        async with client.get(getattr(there, front)) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


@pytest.mark.parametrize("front", ["url", "rest", "aws"])
async def test_a_client_that_leaves_does_not_stop_the_function(tmp_path: Path, front: str) -> None:
    """As on Lambda: the function writes on, to nobody, at its own speed, and its environment serves the next."""
    source = """
        response.http(statusCode=200)
        response.write(b"x")
        wait_for(__file__ + ".go")
        for _ in range(300):
            response.write(bytes(10_000))
        pathlib.Path(__file__ + ".status").write_text(f"{response.end()} {os.getpid()}")
    """
    async with fronts(tmp_path) as there:
        add_streaming(there.world, source)
        if front == "aws":
            reply = await asyncio.to_thread(there.invoke, Payload=b"{}")
            await asyncio.to_thread(next, iter(reply["EventStream"]))
            reply["EventStream"].close()
        else:
            async with aiohttp.ClientSession() as client, client.get(getattr(there, front)) as response:
                await response.content.readany()
        there.path(".go").touch()
        status, pid = (await written(there.path(".status"))).split()
        assert status == "202"
        there.path(".status").unlink()
        result = await there.world.invoke()
        assert len(result.payload) > 3_000_000
        assert (await written(there.path(".status"))).split() == ["202", pid]


async def written(path: Path) -> str:
    async with asyncio.timeout(20):
        while not (text := content(path)):  # noqa: ASYNC110 - another process writes it, again and again
            await asyncio.sleep(0.01)
    return text


def content(path: Path) -> str:
    """What is in a file now, "" where it is not there."""
    return path.read_text() if path.exists() else ""


async def test_a_slow_reader_holds_the_function_back(tmp_path: Path) -> None:
    """With nobody reading, a function cannot write much more than buffers hold; read on, it ends."""
    source = """
        response.start()
        for _ in range(200):
            response.write(bytes(100_000))
            pathlib.Path(__file__ + ".written").write_text(str(response.written))
        response.end()
    """
    async with fronts(tmp_path) as there:
        add_streaming(there.world, source)
        invocation = await there.world.functions.invoke_stream("f", b"{}")
        stood = await standing(there.path(".written"))
        assert stood < 15_000_000
        size = 0
        async for chunk in invocation.chunks():
            size += len(chunk)
            if size >= stood + 100_000:
                break
        invocation.leave()
        assert int(await written(there.path(".written"))) > stood
        assert (await invocation.outcome()).error_type == ""


async def standing(path: Path) -> int:
    """The number in a file, once it has not changed for a while."""
    text = await written(path)
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0.3)
            again = content(path) or text
            if again == text:
                return int(text)
            text = again


async def test_an_ordinary_handler_behind_every_front(tmp_path: Path) -> None:
    """The official runtime client does not stream: its JSON is one chunk; a URL shows it raw, REST answers 502."""
    async with fronts(tmp_path) as there, aiohttp.ClientSession() as client:
        there.world.add("def handler(event, context):\n    return {'statusCode': 404, 'body': 'x'}\n")
        reply = await asyncio.to_thread(there.invoke, Payload=b"{}")
        chunk, complete = await asyncio.to_thread(list, reply["EventStream"])
        assert json.loads(chunk["PayloadChunk"]["Payload"]) == {"statusCode": 404, "body": "x"}
        assert complete["InvokeComplete"].get("ErrorCode") is None
        async with client.get(there.url) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
            assert await response.json() == {"statusCode": 404, "body": "x"}
        async with client.get(there.rest) as response:
            assert response.status == 502


async def test_a_dry_run_and_what_the_api_refuses(tmp_path: Path) -> None:
    """204 without a call; an unknown function and an asynchronous type are errors before any stream."""
    async with fronts(tmp_path) as there:
        add_streaming(there.world, 'response.reply("called")')
        dry = await asyncio.to_thread(there.invoke, InvocationType="DryRun")
        assert dry["StatusCode"] == 204
        assert there.world.lines() == []
        client = boto3.client("lambda", endpoint_url=there.aws, **KEYS)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            await asyncio.to_thread(lambda: client.invoke_with_response_stream(FunctionName="g"))
        with pytest.raises(client.exceptions.ClientError, match="invocationType"):
            await asyncio.to_thread(
                lambda: client.invoke_with_response_stream(FunctionName="f", InvocationType="Event")
            )


async def test_an_async_handler_of_the_layer_streams(tmp_path: Path) -> None:
    """The layer's runtime client, reached through the exec wrapper: parts of an async generator, as they are made."""
    source = """
import asyncio, pathlib
from sluiceway.events.stream import HttpStream

async def parts():
    yield "one"
    while not pathlib.Path(__file__ + ".go").exists():
        await asyncio.sleep(0.01)
    yield "two"

async def handler(event, context):
    return HttpStream(parts(), 201, {"content-type": "text/event-stream"}, cookies=("a=1",))
"""
    layer = tmp_path / "layer"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "sluiceway").symlink_to(ROOT / "layers" / "sluiceway" / "sluiceway")
    (layer / "bootstrap").symlink_to(ROOT / "layers" / "sluiceway" / "bootstrap")
    async with fronts(tmp_path) as there, aiohttp.ClientSession() as client:
        there.world.add(source, layer_dirs=(layer,), environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"})
        async with client.get(there.url) as response:
            assert (response.status, response.headers["Content-Type"]) == (201, "text/event-stream")
            assert response.headers["Set-Cookie"] == "a=1"
            assert await response.content.readany() == b"one"
            assert await let_go_later(there, response.content.read) == b"two"
