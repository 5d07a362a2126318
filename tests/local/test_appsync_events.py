"""An Event API over real sockets and function processes: published over HTTP, signed and not, heard over WebSocket."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import boto3
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from localcloud.clock import SystemClock
from localcloud.issuer import LocalIssuer
from sluiceway.aws.channels import EventChannels, open_keyed_channels
from sluiceway.aws.wire import Wire
from sluiceway.errors import ServiceMisconfigured
from sluiceway.ports.channels import Publication
from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = r"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Judge:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      InlineCode: |
        def handler(event, context):
            print(event["requestContext"]["operation"])
            return {"isAuthorized": event["authorizationToken"] == "open", "handlerContext": {"team": "red"}}
  MayJudge:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      FunctionName: !Ref Judge
      Principal: appsync.amazonaws.com
      SourceArn: !GetAtt Events.ApiArn
  Handle:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      InlineCode: |
        def handler(event, context):
            if event["info"]["operation"] == "SUBSCRIBE":
                return None if event["info"]["channel"]["segments"][-1] != "private" else {"error": "no"}
            made = []
            for each in event["events"]:
                if each["payload"] == "bad":
                    made.append({"id": each["id"], "error": "a bad event"})
                elif each["payload"] != "dropped":
                    made.append({"id": each["id"], "payload": {"by": event["identity"], "was": each["payload"]}})
            return {"events": made}
  Publish:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      InlineCode: |
        import json, os, urllib.request, urllib.error
        def handler(event, context):
            scope = f"20260101/{os.environ['AWS_REGION']}/appsync/aws4_request"
            credential = f"Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
            headers = {"authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}
            url = os.environ["AWS_ENDPOINT_URL"] + "/event"
            request = urllib.request.Request(url, json.dumps(event).encode(), headers)
            try:
                return json.load(urllib.request.urlopen(request))
            except urllib.error.HTTPError as error:
                return {"status": error.code, **json.load(error)}
  MayPublish:
    Type: AWS::IAM::Policy
    Properties:
      PolicyName: publish
      Roles: [!Ref PublishRole]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
        - {Effect: Allow, Action: appsync:EventPublish, Resource: !Sub "${Events.ApiArn}/channelNamespace/default"}
  HandleRoleOfEvents:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
        - {Effect: Allow, Principal: {Service: appsync.amazonaws.com}, Action: sts:AssumeRole}
      Policies:
      - PolicyName: invoke
        PolicyDocument:
          Version: "2012-10-17"
          Statement:
          - {Effect: Allow, Action: lambda:InvokeFunction, Resource: !GetAtt Handle.Arn}
  Events:
    Type: AWS::AppSync::Api
    Properties:
      Name: events
      EventConfig:
        AuthProviders:
        - AuthType: API_KEY
        - AuthType: AWS_IAM
        - AuthType: AWS_LAMBDA
          LambdaAuthorizerConfig: {AuthorizerUri: !GetAtt Judge.Arn}
        - AuthType: OPENID_CONNECT
          OpenIDConnectConfig: {Issuer: https://issuer.sluiceway.localhost, ClientId: app}
        ConnectionAuthModes: &all
        - AuthType: API_KEY
        - AuthType: AWS_IAM
        - AuthType: AWS_LAMBDA
        - AuthType: OPENID_CONNECT
        DefaultPublishAuthModes: *all
        DefaultSubscribeAuthModes: *all
  Key:
    Type: AWS::AppSync::ApiKey
    Properties: {ApiId: !GetAtt Events.ApiId}
  Default:
    Type: AWS::AppSync::ChannelNamespace
    Properties: {ApiId: !GetAtt Events.ApiId, Name: default}
  Locked:
    Type: AWS::AppSync::ChannelNamespace
    Properties:
      ApiId: !GetAtt Events.ApiId
      Name: locked
      PublishAuthModes: [{AuthType: AWS_IAM}]
  Functions:
    Type: AWS::AppSync::DataSource
    Properties:
      ApiId: !GetAtt Events.ApiId
      Name: handle
      Type: AWS_LAMBDA
      ServiceRoleArn: !GetAtt HandleRoleOfEvents.Arn
      LambdaConfig: {LambdaFunctionArn: !GetAtt Handle.Arn}
  Handled:
    Type: AWS::AppSync::ChannelNamespace
    Properties:
      ApiId: !GetAtt Events.ApiId
      Name: handled
      HandlerConfigs:
        OnPublish: {Behavior: DIRECT, Integration: {DataSourceName: !GetAtt Functions.Name}}
        OnSubscribe: {Behavior: DIRECT, Integration: {DataSourceName: !GetAtt Functions.Name}}
Outputs:
  Http: {Value: !Sub "https://${Events.Dns.Http}/event"}
  Realtime: {Value: !Sub "wss://${Events.Dns.Realtime}/event/realtime"}
  Domain: {Value: !GetAtt Events.Dns.Http}
  ApiId: {Value: !GetAtt Events.ApiId}
  Key: {Value: !GetAtt Key.ApiKey}
  Publish: {Value: !Ref Publish}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud on the template above."""
    folder = tmp_path_factory.mktemp("appsync")
    (folder / "template.yaml").write_text(TEMPLATE)
    started = start_cloud(folder / "state", "--template", str(folder / "template.yaml"), "--model", "scripted")
    yield started
    started.sluiceway("down")


@pytest.fixture
def outputs(running: RunningCloud) -> dict[str, str]:
    return running.status["outputs"]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def key_of(outputs: Mapping[str, str]) -> dict[str, str]:
    return {"host": outputs["Domain"], "x-api-key": outputs["Key"]}


def sign(outputs: Mapping[str, str], body: str, *, key: str = "developer") -> dict[str, str]:
    """The authorization of a signed operation, made as Amplify makes it."""
    headers = {
        "accept": "application/json, text/javascript",
        "content-encoding": "amz-1.0",
        "content-type": "application/json; charset=UTF-8",
    }
    request = AWSRequest("POST", f"https://{outputs['Domain']}/event", data=body.encode(), headers=headers)
    SigV4Auth(Credentials(key, "secret"), "appsync", "us-east-1").add_auth(request)
    return {**dict(request.headers.items()), "host": outputs["Domain"]}


def bearer(running: RunningCloud, *, minutes: int = 5, audience: str = "app") -> dict[str, str]:
    issuer = LocalIssuer.open(running.state)
    token = issuer.token(subject="ada", audience=audience, minutes=minutes, clock=SystemClock())
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def connect(
    session: ClientSession, url: str, authorization: Mapping[str, str], **headers: str
) -> AsyncIterator[ClientWebSocketResponse]:
    """An open connection, as the documentation makes it."""
    shown = base64.urlsafe_b64encode(json.dumps(authorization).encode()).rstrip(b"=").decode()
    protocols = ("aws-appsync-event-ws", f"header-{shown}")
    async with session.ws_connect(url, protocols=protocols, headers=headers, max_msg_size=0) as socket:
        assert socket.protocol == "aws-appsync-event-ws"
        yield socket


async def say(socket: ClientWebSocketResponse, **message: Any) -> dict[str, Any]:
    await socket.send_json(message)
    return await socket.receive_json(timeout=30)


async def subscribe(
    socket: ClientWebSocketResponse, channel: str, authorization: Mapping[str, str], given: str = "s"
) -> dict[str, Any]:
    return await say(socket, type="subscribe", id=given, channel=channel, authorization=authorization)


async def post(session: ClientSession, url: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
    content = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    sent = {name: value for name, value in headers.items() if name not in {"host", "content-encoding"}}
    async with session.post(url, data=content, headers=sent) as answer:
        return answer.status, await answer.json()


async def test_an_event_goes_from_http_to_every_subscriber(
    session: ClientSession, outputs: dict[str, str], running: RunningCloud
) -> None:
    """By the addresses in the outputs and in the state; wildcards hear channels below."""
    api_id = outputs["ApiId"]
    assert outputs["Http"] == running.status["endpoints"]["events"]
    assert outputs["Realtime"] == running.status["endpoints"]["events-realtime"]
    assert urlsplit(outputs["Http"]).path == f"/{api_id}/event"
    shown = key_of(outputs)
    async with (
        connect(session, outputs["Realtime"], shown) as one,
        connect(session, outputs["Realtime"], shown) as two,
    ):
        acknowledged = await say(one, type="connection_init")
        assert acknowledged == {"type": "connection_ack", "connectionTimeoutMs": 300_000}
        assert await subscribe(one, "/default/*", shown) == {"id": "s", "type": "subscribe_success"}
        assert await subscribe(two, "/default/room/7", shown) == {"id": "s", "type": "subscribe_success"}
        text = '{"said":"grüß dich"}'
        publication = {"channel": "default/room/7", "events": [text, "2"]}
        status, answer = await post(session, outputs["Http"], publication, shown)
        assert (status, answer["failed"], [each["index"] for each in answer["successful"]]) == (200, [], [0, 1])
        for socket in (one, two):
            heard = [await socket.receive_json(timeout=5) for _ in range(2)]
            assert heard == [{"type": "data", "id": "s", "event": each} for each in (text, "2")]
        assert await say(one, type="unsubscribe", id="s") == {"id": "s", "type": "unsubscribe_success"}
        answer = await say(one, type="publish", id="p", channel="/default/room/7", events=["3"], authorization=shown)
        assert (answer["type"], answer["id"], len(answer["successful"])) == ("publish_success", "p", 1)
        assert (await two.receive_json(timeout=5))["event"] == "3"


async def test_the_host_names_of_aws_lead_to_the_local_ports(
    session: ClientSession, outputs: dict[str, str], running: RunningCloud
) -> None:
    """With the paths that an API has on AWS."""
    http, realtime = urlsplit(outputs["Http"]).netloc, urlsplit(outputs["Realtime"]).netloc
    shown = key_of(outputs)
    domain = outputs["Domain"].replace(".appsync-api.", ".appsync-realtime-api.")
    async with connect(session, f"ws://{realtime}/event/realtime", shown, Host=domain) as socket:
        await subscribe(socket, "/default/a", shown)
        body = {"channel": "/default/a", "events": ["1"]}
        status, _ = await post(session, f"http://{http}/event", body, {**shown, "Host": outputs["Domain"]})
        assert status == 200
        assert (await socket.receive_json(timeout=5))["event"] == "1"
    aws = running.status["endpoints"]["aws"]
    assert (await post(session, f"{aws}/event", body, {"x-api-key": outputs["Key"]}))[0] == 200
    assert (await post(session, f"{aws}/event", body, {"x-api-key": "no"}))[0] == 401


@pytest.mark.parametrize("mode", ["key", "iam", "lambda", "openid"])
async def test_each_kind_of_authorization_connects_subscribes_and_publishes(
    mode: str, session: ClientSession, outputs: dict[str, str], running: RunningCloud
) -> None:
    """Signatures are made over what each operation is."""
    channel = f"/default/{mode}"
    publication = {"channel": channel, "events": ["1"]}
    bodies = ("{}", json.dumps({"channel": channel}), json.dumps(publication))
    if mode == "iam":
        shown = [sign(outputs, body) for body in bodies]
    else:
        own = {"key": key_of(outputs), "lambda": {"Authorization": "open"}, "openid": bearer(running)}[mode]
        shown = [own] * 3
    async with connect(session, outputs["Realtime"], shown[0]) as socket:
        assert await subscribe(socket, channel, shown[1]) == {"id": "s", "type": "subscribe_success"}
        assert (await post(session, outputs["Http"], publication, shown[2]))[0] == 200
        assert (await socket.receive_json(timeout=5))["event"] == "1"


@pytest.mark.parametrize("mode", ["key", "iam", "lambda", "openid", "forged", "none"])
async def test_a_wrong_authorization_neither_connects_nor_publishes(
    mode: str, session: ClientSession, outputs: dict[str, str], running: RunningCloud
) -> None:
    """connection_error and the end of the connection; 401 over HTTP."""
    shown = {
        "key": {"x-api-key": "da2-aaaaaaaaaaaaaaaaaaaaaaaaaa"},
        "iam": {"Authorization": sign(outputs, "{}")["Authorization"].replace("appsync", "execute-api")},
        "lambda": {"Authorization": "closed"},
        "openid": bearer(running, audience="other"),
        "forged": {"Authorization": bearer(running)["Authorization"][:-8] + "AAAAAAAA"},
        "none": {},
    }[mode]
    async with connect(session, outputs["Realtime"], shown) as socket:
        refused = await socket.receive_json(timeout=30)
        assert (refused["type"], refused["errors"][0]["errorType"]) == ("connection_error", "UnauthorizedException")
        assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
        assert socket.close_code == 1008
    status, answer = await post(session, outputs["Http"], {"channel": "/default/a", "events": ["1"]}, shown)
    assert (status, answer["errors"][0]["errorType"]) == (401, "UnauthorizedException")


async def test_a_namespace_s_own_modes(session: ClientSession, outputs: dict[str, str]) -> None:
    """Publishing needs a signature there; subscribing what the API says."""
    shown = key_of(outputs)
    body = {"channel": "/locked/a", "events": ["1"]}
    async with connect(session, outputs["Realtime"], shown) as socket:
        assert (await subscribe(socket, "/locked/*", shown))["type"] == "subscribe_success"
        assert (await post(session, outputs["Http"], body, shown))[0] == 401
        assert (await post(session, outputs["Http"], body, sign(outputs, json.dumps(body))))[0] == 200
        assert (await socket.receive_json(timeout=5))["event"] == "1"


async def test_functions_stand_between_publishers_and_subscribers(
    session: ClientSession, outputs: dict[str, str]
) -> None:
    """Their answers are broadcast, or fail event by event; a subscription that they refuse is none."""
    shown = {"Authorization": "open"}
    async with connect(session, outputs["Realtime"], shown) as socket:
        refused = await subscribe(socket, "/handled/private", shown)
        assert refused["errors"][0]["errorType"] == "SubscriptionProcessingError"
        assert (await subscribe(socket, "/handled/*", shown))["type"] == "subscribe_success"
        body = {"channel": "/handled/a", "events": ['"good"', '"bad"', '"dropped"']}
        status, answer = await post(session, outputs["Http"], body, shown)
        assert status == 200
        assert [(each["index"], each["errorMessage"]) for each in answer["failed"]] == [(1, "a bad event")]
        assert [each["index"] for each in answer["successful"]] == [0, 2]
        heard = json.loads((await socket.receive_json(timeout=5))["event"])
        assert heard == {"by": {"handlerContext": {"team": "red"}}, "was": "good"}


async def test_the_largest_events_arrive(session: ClientSession, outputs: dict[str, str]) -> None:
    """Five of 240 KB over HTTP and over the connection; one byte more is refused."""
    shown = key_of(outputs)
    text = f'"{"x" * (240 * 1024 - 2)}"'
    async with connect(session, outputs["Realtime"], shown) as socket:
        await subscribe(socket, "/default/large", shown)
        body = {"channel": "/default/large", "events": [text] * 5}
        assert (await post(session, outputs["Http"], body, shown))[0] == 200
        await socket.send_json({"type": "publish", "id": "p", **body, "authorization": shown})
        heard = [await socket.receive_json(timeout=10) for _ in range(11)]
        assert [each.get("event") for each in heard].count(text) == 10
        status, answer = await post(session, outputs["Http"], {**body, "events": [text + " "]}, shown)
        assert (status, answer["errors"][0]["message"]) == (400, "Event exceeded 240 KB limit")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"\xff\xfe", 400, "SerializationException"),
        (b"{" * 100_000, 400, "SerializationException"),
        (b"x" * 3_000_000, 413, "RequestEntityTooLargeException"),
        ({"channel": "/default/a", "events": ["1"] * 6}, 400, "BadRequestException"),
        ({"channel": "/nobody/a", "events": ["1"]}, 401, "UnauthorizedException"),
    ],
)
async def test_bad_publications_get_appsync_s_errors(
    body: Any, status: int, code: str, session: ClientSession, outputs: dict[str, str]
) -> None:
    """Never a failure of the local cloud."""
    answered, answer = await post(session, outputs["Http"], body, key_of(outputs))
    assert (answered, answer["errors"][0]["errorType"]) == (status, code)


async def test_a_function_publishes_with_its_role(
    session: ClientSession, outputs: dict[str, str], running: RunningCloud
) -> None:
    """At AWS_ENDPOINT_URL, where its policy lets it; the calls are recorded."""
    shown = key_of(outputs)
    async with connect(session, outputs["Realtime"], shown) as socket:
        await subscribe(socket, "/default/told", shown)
        for channel, expected in (("/default/told", None), ("/locked/told", 401)):
            event = json.dumps({"channel": channel, "events": ['"hello"']})
            said = await asyncio.to_thread(running.sluiceway, "invoke", "Publish", "-e", "-", text=event)
            assert json.loads(said.stdout).get("status") == expected
        assert (await socket.receive_json(timeout=5))["event"] == '"hello"'
    recorded = [(call["allowed"], call["resource"].rpartition("/")[2]) for call in running.calls() if call["function"]]
    assert {(True, "default"), (False, "locked")} <= {
        (allowed, name) for allowed, name in recorded if name in {"default", "locked"}
    }


async def test_the_layer_publishes_signed_and_with_a_key(
    session: ClientSession, outputs: dict[str, str], running: RunningCloud
) -> None:
    """Batches of five in order, by the address that the API has on AWS; a wrong key is a wrong deployment."""
    environ = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "developer",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL": running.status["endpoints"]["aws"],
    }
    url, shown = f"https://{outputs['Domain']}/event", key_of(outputs)
    numbers = [str(number) for number in range(12)]
    async with connect(session, outputs["Realtime"], shown) as socket:
        await subscribe(socket, "/default/layer", shown)
        async with Wire.open(environ) as wire:
            assert await EventChannels(wire, url).publish("/default/layer", numbers) == Publication()
        heard = [(await socket.receive_json(timeout=5))["event"] for _ in numbers]
        assert heard == numbers
        async with open_keyed_channels(url, outputs["Key"], environ) as channels:
            assert await channels.publish("/default/layer", numbers) == Publication()
        heard = [(await socket.receive_json(timeout=5))["event"] for _ in numbers]
        assert heard == numbers
    async with open_keyed_channels(url, "da2-wrong", environ) as channels:
        with pytest.raises(ServiceMisconfigured):
            await channels.publish("/default/layer", ["1"])
    direct = {**environ, "AWS_ENDPOINT_URL_APPSYNC_EVENTS": outputs["Http"].removesuffix("/event")}
    async with open_keyed_channels(url, outputs["Key"], direct) as channels:
        assert await channels.publish("/default/layer", ["1"]) == Publication()


def test_boto3_sees_the_stack_s_api(outputs: dict[str, str], running: RunningCloud) -> None:
    """The control plane at the AWS port; GraphQL is refused by name."""
    client = boto3.client(
        "appsync",
        endpoint_url=running.status["endpoints"]["aws"],
        region_name="us-east-1",
        aws_access_key_id="developer",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    api = client.get_api(apiId=outputs["ApiId"])["api"]
    assert (api["name"], api["dns"]["HTTP"]) == ("events", outputs["Domain"])
    names = [each["name"] for each in client.list_channel_namespaces(apiId=outputs["ApiId"])["channelNamespaces"]]
    assert names == ["default", "handled", "locked"]
    with pytest.raises(client.exceptions.BadRequestException, match="CreateGraphqlApi is not served"):
        client.create_graphql_api(name="a", authenticationType="API_KEY")


async def test_a_handshake_for_no_api_is_refused(session: ClientSession, outputs: dict[str, str]) -> None:
    """As an unknown stage of a WebSocket API is."""
    port = urlsplit(outputs["Realtime"]).netloc
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(f"ws://{port}/{'a' * 26}/event/realtime", protocols=("aws-appsync-event-ws",))
    assert caught.value.status == 403
