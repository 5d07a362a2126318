"""A WebSocket API over real sockets and function processes; boto3 calls back from a function and from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.replay.websocket import WebSocket, WebSocketRefused
from tests.local.conftest import RunningCloud, start_cloud
from tests.unit.websocket_setup import client_frame

pytestmark = pytest.mark.local

TEMPLATE = r"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Serve:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      Environment: {Variables: {QUEUE: !Ref Jobs}}
      InlineCode: |
        import datetime, hashlib, hmac, json, os, urllib.parse, urllib.request

        def post(connection, text):
            root = os.environ["AWS_ENDPOINT_URL"]
            path = "/@connections/" + urllib.parse.quote(connection, safe="")
            scope = f"20260101/{os.environ['AWS_REGION']}/execute-api/aws4_request"
            credential = f"Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
            signed = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"
            request = urllib.request.Request(root + path, text.encode(), {"authorization": signed})
            try:
                return urllib.request.urlopen(request).status
            except urllib.error.HTTPError as error:
                return error.code

        def handler(event, context):
            about = event["requestContext"]
            if about["eventType"] == "CONNECT":
                print("early", post(about["connectionId"], "too early"))
                wanted = event.get("queryStringParameters") or {}
                status = int(wanted.get("status", 200))
                return {"statusCode": status, "headers": {"Sec-WebSocket-Protocol": "chat"}}
            if about["eventType"] == "DISCONNECT":
                print("gone", about["disconnectStatusCode"])
                return {"statusCode": 200}
            post(about["connectionId"], json.dumps({"route": about["routeKey"], "body": event["body"]}))
            return {"statusCode": 200, "body": "answer"}
  MayPost:
    Type: AWS::IAM::Policy
    Properties:
      PolicyName: post
      Roles: [!Ref ServeRole]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
        - Effect: Allow
          Action: execute-api:ManageConnections
          Resource: !Sub arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Socket}/v1/POST/@connections/*
  Socket:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      Name: socket
      StageName: v1
      RouteSelectionExpression: $request.body.action
      Routes:
        $connect: {FunctionArn: !GetAtt Serve.Arn}
        $disconnect: {FunctionArn: !GetAtt Serve.Arn}
        $default: {FunctionArn: !GetAtt Serve.Arn}
        ask: {FunctionArn: !GetAtt Serve.Arn, RouteResponseSelectionExpression: $default}
  AskAnswers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Socket, RouteId: !Ref SocketAskRoute, RouteResponseKey: $default}
  Jobs: {Type: AWS::SQS::Queue}
  ApiRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Action: sts:AssumeRole, Principal: {Service: apigateway.amazonaws.com}}]
      Policies:
      - PolicyName: send
        PolicyDocument:
          Version: "2012-10-17"
          Statement: [{Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt Jobs.Arn}]
  JobIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Socket
      CredentialsArn: !GetAtt ApiRole.Arn
      IntegrationMethod: POST
      IntegrationType: AWS
      IntegrationUri: !Sub arn:aws:apigateway:${AWS::Region}:sqs:path/${AWS::AccountId}/${Jobs.QueueName}
      PassthroughBehavior: NEVER
      RequestParameters: {integration.request.header.Content-Type: "'application/x-www-form-urlencoded'"}
      RequestTemplates: {$default: Action=SendMessage&MessageBody=$util.urlEncode($input.body)}
      TemplateSelectionExpression: \$default
  JobRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Socket, RouteKey: job, Target: !Sub "integrations/${JobIntegration}"}
Outputs:
  Url: {Value: !Sub "${Socket.ApiEndpoint}/v1"}
  Callback: {Value: !Sub "https://${Socket}.execute-api.${AWS::Region}.amazonaws.com/v1"}
  Queue: {Value: !Ref Jobs}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud on the template above."""
    folder = tmp_path_factory.mktemp("socket")
    (folder / "template.yaml").write_text(TEMPLATE)
    started = start_cloud(folder / "state", "--template", str(folder / "template.yaml"), "--model", "scripted")
    yield started
    started.sluiceway("down")


@pytest.fixture(scope="module")
def management(running: RunningCloud) -> Any:
    """boto3's client of the management API, as an application makes it of the stack's output."""
    return _client(running, "apigatewaymanagementapi", running.status["outputs"]["Callback"])


def _client(running: RunningCloud, service: str, url: str) -> Any:
    keys = {"aws_access_key_id": "developer", "aws_secret_access_key": "x"}
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=url, region_name=running.status["region"], config=once, **keys)


@asynccontextmanager
async def _open(
    running: RunningCloud, query: str = "", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(running.status["outputs"]["Url"] + query, **options) as opened,
    ):
        yield opened


async def _say(opened: aiohttp.ClientWebSocketResponse, message: Any) -> Any:
    await opened.send_str(json.dumps(message))
    return json.loads(await opened.receive_str(timeout=20))


async def test_a_function_answers_through_the_management_api(running: RunningCloud) -> None:
    """With its role and AWS_ENDPOINT_URL alone; a two-way route answers as well."""
    async with _open(running) as opened:
        assert await _say(opened, {"action": "x"}) == {"route": "$default", "body": '{"action": "x"}'}
        assert (await _say(opened, {"action": "ask"}))["route"] == "ask"
        assert await opened.receive_str(timeout=20) == "answer"


async def test_the_endpoint_is_in_the_status(running: RunningCloud) -> None:
    """By the API's logical id, on the WebSocket port; outputs name it as well."""
    status = running.status
    assert status["endpoints"]["socket"] == status["outputs"]["Url"]
    assert status["outputs"]["Url"].startswith("ws://127.0.0.1:")
    assert status["outputs"]["Callback"].startswith(status["endpoints"]["aws"])


async def test_a_refused_connect_is_the_handshakes_status(running: RunningCloud) -> None:
    """The function's own status reaches the client, and the project's own client sees the same."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with _open(running, "?status=403"):
            pass
    assert caught.value.status == 403
    url = running.status["outputs"]["Url"]
    with pytest.raises(WebSocketRefused) as refused:
        await asyncio.to_thread(WebSocket, url + "?status=401", headers={}, timeout_s=20)
    assert refused.value.status == 401


async def test_the_function_chooses_the_subprotocol(running: RunningCloud) -> None:
    """Its choice is in the handshake's answer."""
    async with _open(running, protocols=("chat",)) as opened:
        assert opened.protocol == "chat"


async def test_frames_sent_with_the_handshake_are_served_after_it(running: RunningCloud) -> None:
    """A client that does not wait loses nothing; its $disconnect is told although it just goes."""
    url = urlsplit(running.status["outputs"]["Url"])
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"GET {url.path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with closing(writer):
        writer.write(head.encode() + key.encode() + client_frame(1, b"hi"))
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
        frame = await reader.readexactly(2)
        assert json.loads(await reader.readexactly(frame[1])) == {"route": "$default", "body": "hi"}
    await _logged(running, "gone 1006")


async def test_an_id_is_gone_until_connect_returned(running: RunningCloud) -> None:
    """What the function posts in $connect is answered 410."""
    async with _open(running):
        await _logged(running, "early 410")


async def _logged(running: RunningCloud, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in "".join(path.read_text() for path in (running.state / "logs").glob("*Serve*")):  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.02)


async def test_what_is_no_handshake_is_answered_as_http(running: RunningCloud) -> None:
    """426 where no upgrade is asked for, 403 for another address, 400 for what is no HTTP."""
    url = running.status["outputs"]["Url"].replace("ws:", "http:")
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as plain:
            assert plain.status == 426
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(url + "/more")
        assert caught.value.status == 403
    port = int(url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")


async def test_a_service_integration_reaches_the_queue(running: RunningCloud) -> None:
    """WebSocket to SQS by role and template, no function between."""
    sqs = _client(running, "sqs", running.status["endpoints"]["aws"])
    message = json.dumps({"action": "job", "prompt": "é & 😀"}, ensure_ascii=False)
    async with _open(running) as opened:
        await opened.send_str(message)
        receive = {"QueueUrl": running.status["outputs"]["Queue"], "WaitTimeSeconds": 10}
        received = await asyncio.to_thread(lambda: sqs.receive_message(**receive))
    assert [each["Body"] for each in received["Messages"]] == [message]


@pytest.mark.parametrize(("frame", "code"), [("binary", 1003), ("long", 1009)])
async def test_what_a_client_may_not_send_closes(running: RunningCloud, frame: str, code: int) -> None:
    """Binary frames and frames over 32 KB; the client reads the code."""
    async with _open(running) as opened:
        if frame == "binary":
            await opened.send_bytes(b"x")
        else:
            await opened.send_str("x" * 32_769)
        closed = await opened.receive(timeout=20)
        assert (closed.type, opened.close_code) == (aiohttp.WSMsgType.CLOSE, code)


async def test_pings_are_answered(running: RunningCloud) -> None:
    """With their payload."""
    async with _open(running, autoping=False) as opened:
        await opened.ping(b"there?")
        pong = await opened.receive(timeout=20)
        assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"there?")


def _code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


async def _known(opened: aiohttp.ClientWebSocketResponse, running: RunningCloud) -> str:
    """The id of a connection, from the function's own log of it."""
    await _say(opened, {"action": "x"})
    calls = (running.state / "calls.jsonl").read_text().splitlines()
    resources = [json.loads(line)["resource"] for line in calls if "/POST/@connections/" in line]
    return resources[-1].rpartition("/")[2]


async def test_boto3_posts_describes_and_closes(running: RunningCloud, management: Any) -> None:
    """128 KB arrive whole; a posted text, the description, a close with 1000, and GoneException after it."""
    async with _open(running, headers={"user-agent": "it"}, max_msg_size=0) as opened:
        given = {"ConnectionId": await _known(opened, running)}
        await asyncio.to_thread(lambda: management.post_to_connection(**given, Data="é" * 65_536))
        assert await opened.receive_str(timeout=20) == "é" * 65_536
        described = await asyncio.to_thread(lambda: management.get_connection(**given))
        assert described["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "it"}
        assert described["LastActiveAt"] >= described["ConnectedAt"]
        with pytest.raises(ClientError) as large:
            await asyncio.to_thread(lambda: management.post_to_connection(**given, Data=b"x" * 131_073))
        assert _code(large) == (413, "PayloadTooLargeException")
        await asyncio.to_thread(lambda: management.delete_connection(**given))
        closed = await opened.receive(timeout=20)
        assert (closed.type, opened.close_code) == (aiohttp.WSMsgType.CLOSE, 1000)
        with pytest.raises(management.exceptions.GoneException):
            await asyncio.to_thread(lambda: management.post_to_connection(**given, Data="x"))


async def test_a_client_that_does_not_read_is_429_and_then_served(running: RunningCloud, management: Any) -> None:
    """Its buffer is bounded; once it reads, everything accepted arrives in order and posts pass again."""
    async with _open(running, max_msg_size=0) as opened:
        given = {"ConnectionId": await _known(opened, running)}
        opened._conn.transport.pause_reading()  # a slow client; aiohttp has no public word for it
        posted: list[int] = []

        def post_until_refused() -> None:
            while len(posted) < 200:
                management.post_to_connection(**given, Data=f"{len(posted):06}" + "x" * 131_000)
                posted.append(len(posted))

        with pytest.raises(ClientError) as caught:
            await asyncio.to_thread(post_until_refused)
        assert _code(caught) == (429, "LimitExceededException")
        opened._conn.transport.resume_reading()
        numbers = [int((await opened.receive_str(timeout=20))[:6]) for _ in posted]
        assert numbers == posted
        await asyncio.to_thread(lambda: management.post_to_connection(**given, Data="again"))
        assert await opened.receive_str(timeout=20) == "again"


def test_no_call_of_the_functions_was_denied(running: RunningCloud) -> None:
    """The policy's ARN is AWS's own: api/stage/POST/@connections/id."""
    calls = [json.loads(line) for line in (running.state / "calls.jsonl").read_text().splitlines()]
    made = [call for call in calls if call["action"] == "execute-api:ManageConnections" and call["role_arn"]]
    assert made
    assert all(call["allowed"] for call in made)
