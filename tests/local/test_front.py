"""The AWS port over real sockets: who may call what, what is refused and how, and that it stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.chunked import MalformedChunks, decode_aws_chunked
from localcloud.clock import SystemClock
from localcloud.front import HEALTH_PATH, Front
from localcloud.listening import open_listener
from localcloud.services.contract import Denied, Permission, WireRequest, WireResponse
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

pytestmark = pytest.mark.local
SIGNED = "AWS4-HMAC-SHA256 Credential=AK/20261123/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@dataclass
class Echo:
    """A service that tells what it was asked, or does what `act` says."""

    name: str = "lambda"
    act: Callable[[WireRequest], WireResponse] | None = None
    seen: list[WireRequest] = field(default_factory=list)

    async def handle(self, request: WireRequest) -> WireResponse:
        self.seen.append(request)
        return self.act(request) if self.act else WireResponse(200, b"{}", {"content-type": "application/json"})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        return (Permission("lambda:InvokeFunction", f"arn:{request.path}"),)


@dataclass
class Cloud:
    """A front with SQS and an echo, and whom it denies."""

    echo: Echo = field(default_factory=Echo)
    queues: Queues = field(default_factory=lambda: Queues(clock=SystemClock(), rng=random.Random(1)))
    denied_keys: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    front: Front | None = None

    def authorise(self, access_key: str, permissions: tuple[Permission, ...]) -> Denied | None:
        self.asked += [(access_key, permission.action) for permission in permissions]
        if access_key not in self.denied_keys:
            return None
        reason = f"no identity-based policy allows the {permissions[0].action} action"
        return Denied("arn:aws:sts::123456789012:assumed-role/r/f", permissions[0], reason)

    def client(self, name: str, key: str = "AK") -> Any:
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A running front."""
    made = Cloud()
    services = [SqsService(made.queues), made.echo, Echo("s3"), Echo("dynamodb"), Echo("bedrock")]
    made.front = Front(services, authorise=made.authorise, rng=random.Random(1))
    async with made.front.serve(open_listener()) as made.url:
        made.queues.endpoint = made.url
        yield made


def fetch(
    url: str, *, body: bytes | None = None, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, lower-case headers and body of a plain request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


async def ask(cloud: Cloud, path: str = "/x", **more: Any) -> tuple[int, dict[str, str], bytes]:
    return await asyncio.to_thread(fetch, f"{cloud.url}{path}", **more)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - the socket's other end tells nobody
        await asyncio.sleep(0.005)


async def test_boto3_speaks_sqs_with_it(cloud: Cloud) -> None:
    """Create, send in a batch, long poll, delete: boto3's checksums and parsers agree with every answer."""

    def work() -> None:
        sqs = cloud.client("sqs")
        url = sqs.create_queue(QueueName="jobs", Attributes={"VisibilityTimeout": "5"}, tags={"k": "v"})["QueueUrl"]
        assert url == f"{cloud.url}/123456789012/jobs"
        attributes = {
            "s": {"DataType": "String", "StringValue": "é😀"},
            "n": {"DataType": "Number", "StringValue": "1.5"},
            "b": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
        }
        sent = sqs.send_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": "a", "MessageBody": "one", "MessageAttributes": attributes},
                {"Id": "b", "MessageBody": "x", "DelaySeconds": 901},
            ],
        )
        assert [entry["Id"] for entry in sent["Successful"]] == ["a"]
        assert [(entry["Id"], entry["Code"]) for entry in sent["Failed"]] == [("b", "InvalidParameterValue")]
        (message,) = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=1, MessageAttributeNames=["All"], AttributeNames=["All"]
        )["Messages"]
        assert message["MessageAttributes"] == attributes
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=10)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert (told["ApproximateNumberOfMessages"], told["VisibilityTimeout"]) == ("0", "5")
        assert sqs.list_queues()["QueueUrls"] == [url]
        assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"k": "v"}
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            sqs.get_queue_url(QueueName="nope")
        with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
            sqs.delete_message(QueueUrl=url, ReceiptHandle="nonsense")

    await asyncio.to_thread(work)


async def test_a_client_who_goes_away_takes_no_message(cloud: Cloud) -> None:
    """A long poll whose socket is closed is cancelled: the message that comes next is still there."""
    await asyncio.to_thread(cloud.client("sqs").create_queue, QueueName="jobs")
    queue = cloud.queues.get("jobs", "eu-west-1")
    body = json.dumps({"QueueUrl": "jobs", "WaitTimeSeconds": 20}).encode()
    head = (
        f"POST / HTTP/1.1\r\nhost: x\r\nauthorization: {SIGNED.format('sqs')}\r\n"
        f"x-amz-target: AmazonSQS.ReceiveMessage\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    host, port = cloud.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    async with asyncio.timeout(5):
        await until(lambda: bool(queue._waiters))
        writer.close()
        await until(lambda: not queue._waiters)
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    await asyncio.to_thread(cloud.client("sqs").send_message, QueueUrl="jobs", MessageBody="x")
    assert queue.depth.visible == 1


async def test_unsigned_requests_are_refused_in_the_services_form(cloud: Cloud) -> None:
    """No key: MissingAuthenticationToken, as JSON or XML; S3 says AccessDenied. Nobody was asked for permission."""
    status, headers, body = await ask(cloud, "/2015-03-31/functions/f/invocations", body=b"{}", method="POST")
    assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationToken")
    status, _, body = await ask(cloud, "/", body=b"{}", method="POST", x_amz_target="AmazonSQS.ListQueues")
    assert (status, json.loads(body)["__type"]) == (403, "MissingAuthenticationToken")
    status, _, body = await ask(cloud, "/123456789012/jobs?Action=PurgeQueue")
    assert status == 403
    assert b"<Code>MissingAuthenticationToken</Code>" in body
    status, _, body = await ask(cloud, "/b/k", host="s3.eu-west-1.amazonaws.com")
    assert (status, b"<Code>AccessDenied</Code>" in body) == (403, True)
    assert cloud.asked == []


async def test_what_iam_denies_is_denied_as_aws_says_it(cloud: Cloud) -> None:
    """The sentence names principal, action and resource; code and status are those of each protocol."""
    cloud.denied_keys.add("POOR")

    def codes() -> list[tuple[str, int]]:
        found = []
        for call in (
            lambda: cloud.client("sqs", "POOR").send_message(QueueUrl="jobs", MessageBody="x"),
            lambda: cloud.client("lambda", "POOR").invoke(FunctionName="f"),
            lambda: cloud.client("dynamodb", "POOR").list_tables(),
            lambda: cloud.client("s3", "POOR").get_object(Bucket="bucket", Key="k"),
        ):
            with pytest.raises(ClientError) as caught:
                call()
            told = caught.value.response
            assert "arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform" in told["Error"]["Message"]
            found.append((told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]))
        return found

    assert await asyncio.to_thread(codes) == [
        ("AccessDeniedException", 403),
        ("AccessDeniedException", 403),
        ("AccessDeniedException", 400),
        ("AccessDenied", 403),
    ]
    assert cloud.echo.seen == []


async def test_an_unknown_service_is_named(cloud: Cloud) -> None:
    """501, so that no SDK retries, and the signing name in the message."""

    def work() -> None:
        with pytest.raises(ClientError, match=r"does not serve the API with the signing name 'glue'") as caught:
            cloud.client("glue").list_registries()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501

    await asyncio.to_thread(work)


async def test_an_error_inside_is_a_logged_500(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """InternalFailure outside, the traceback and the request id in the log."""

    def fail(request: WireRequest) -> WireResponse:
        raise RuntimeError(request.path)

    cloud.echo.act = fail
    with caplog.at_level(logging.ERROR, "localcloud.front"):
        status, headers, _ = await ask(cloud, authorization=SIGNED.format("lambda"))
    assert (status, headers["x-amzn-errortype"]) == (500, "InternalFailure")
    assert headers["x-amzn-requestid"] in caplog.text
    assert "RuntimeError: /x" in caplog.text


async def test_services_see_the_request_as_it_was_sent(cloud: Cloud) -> None:
    """Path and query still encoded, header names in lower case, region and key from the scope, header or query."""
    await ask(cloud, "/a%2Fb%20c?x=%26&y", authorization=SIGNED.format("lambda"), X_Custom="V")
    seen = cloud.echo.seen[0]
    assert (seen.path, seen.query, seen.headers["x-custom"]) == ("/a%2Fb%20c", "x=%26&y", "V")
    assert (seen.region, seen.access_key, seen.service) == ("eu-west-1", "AK", "lambda")
    await ask(cloud, "/p?X-Amz-Credential=KEY%2F20261123%2Fus-east-2%2Flambda%2Faws4_request&X-Amz-Signature=0")
    assert (cloud.echo.seen[1].region, cloud.echo.seen[1].access_key) == ("us-east-2", "KEY")


@pytest.mark.parametrize(("service", "server"), [("s3", "AmazonS3"), ("dynamodb", "Server"), ("lambda", "sluiceway")])
async def test_services_call_themselves_as_on_aws(cloud: Cloud, service: str, server: str) -> None:
    """S3 and DynamoDB by their names, the others by ours; never by the name of what is behind them."""
    assert cloud.front is not None
    cloud.front.add(Echo(name=service, act=lambda _: WireResponse(200, b"{}", {"server": "Werkzeug"})))
    _, headers, _ = await ask(cloud, authorization=SIGNED.format(service))
    assert headers["server"] == server


async def test_streams_arrive_piece_by_piece(cloud: Cloud) -> None:
    """The first chunk is with the client while the second has not been made."""
    go_on = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    cloud.echo.act = lambda _: WireResponse(200, chunks(), {"content-type": "text/plain"})
    host, port = cloud.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET / HTTP/1.1\r\nhost: x\r\nauthorization: {SIGNED.format('lambda')}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        await reader.readuntil(b"first")
        go_on.set()
        await reader.readuntil(b"second")
    writer.close()
    await writer.wait_closed()


async def test_expect_100_continue_is_answered_before_the_body(cloud: Cloud) -> None:
    """The client hears 100 first, then sends, then hears the answer; the connection stays open for another request."""
    host, port = cloud.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /x HTTP/1.1\r\nhost: x\r\nauthorization: {SIGNED.format('lambda')}\r\ncontent-length: 5\r\n"
    async with asyncio.timeout(5):
        writer.write(f"{head}expect: 100-continue\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hello")
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
        writer.write(f"{head}\r\nagain".encode())
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()
    assert [request.body for request in cloud.echo.seen] == [b"hello", b"again"]


async def test_a_body_over_the_limit_is_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 in the service's form; the service never sees it."""
    monkeypatch.setattr("localcloud.front.MAX_BODY_BYTES", 1000)
    status, headers, _ = await ask(cloud, body=b"x" * 1001, method="POST", authorization=SIGNED.format("lambda"))
    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLarge")
    assert cloud.echo.seen == []


async def test_callers_inside_go_the_same_way(cloud: Cloud) -> None:
    """`dispatch` authorises and answers a request that never was on a socket."""
    assert cloud.front is not None
    request = WireRequest("lambda", "eu-west-1", "POST", "/x", "", {}, b"", "INSIDE", "id-1")
    response = await cloud.front.dispatch(request)
    assert (response.status, response.headers["x-amzn-requestid"]) == (200, "id-1")
    assert cloud.asked == [("INSIDE", "lambda:InvokeFunction")]


async def test_health_needs_no_signature(cloud: Cloud) -> None:
    """For scripts that wait for the start."""
    status, _, body = await ask(cloud, HEALTH_PATH)
    assert status == 200
    assert json.loads(body)["services"] == ["bedrock", "dynamodb", "lambda", "s3", "sqs"]


async def test_it_stops_while_a_client_waits() -> None:
    """A long poll under way does not hold the stop up; the port is free afterwards."""
    queues = Queues(clock=SystemClock(), rng=random.Random(1))
    queue = queues.create("jobs", "eu-west-1", attributes={}, tags={})
    front = Front([SqsService(queues)], authorise=lambda _key, _needs: None, rng=random.Random(1))
    body = json.dumps({"QueueUrl": "jobs", "WaitTimeSeconds": 20}).encode()
    headers = {"authorization": SIGNED.format("sqs"), "x_amz_target": "AmazonSQS.ReceiveMessage"}
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        async with front.serve(open_listener()) as url:

            async def poll() -> None:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await asyncio.to_thread(fetch, url, body=body, method="POST", **headers)

            tasks.create_task(poll())
            await until(lambda: bool(queue._waiters))
        assert not queue._waiters
    port = int(url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_an_error_of_the_system() -> None:
    """The caller hears EADDRINUSE and can say which port it was."""
    with open_listener() as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            open_listener(port=first.getsockname()[1])


def test_aws_chunked_bodies_are_put_together() -> None:
    """Signed and unsigned chunks, and the trailer's checksum; anything torn is refused."""
    signed = b"3;chunk-signature=ab\r\nabc\r\n0;chunk-signature=cd\r\n\r\n"
    assert decode_aws_chunked(signed) == (b"abc", {})
    trailed = b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA==\r\nx-amz-trailer-signature:x\r\n\r\n"
    assert decode_aws_chunked(trailed) == (b"abcde", {"x-amz-checksum-crc32": "AAAA=="})
    for torn in (b"", b"3\r\nab", b"zz\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n"):
        with pytest.raises(MalformedChunks):
            decode_aws_chunked(torn)
