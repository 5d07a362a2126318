"""REST APIs in a running local cloud: separate resources before services, functions and an endpoint; one of SAM's."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from localcloud.gateway.http_caller import HttpNetwork
from localcloud.gateway.ports import HttpCall, HttpFailed
from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "rest_whole" / "template.yaml"
REGION = "us-east-1"
KEY = "abcdefghijklmnopqrstuvwxyz"


class _Backend(http.server.BaseHTTPRequestHandler):
    """Answers what it was asked."""

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        told = json.dumps({"path": self.path, "mine": self.headers.get("X-Mine"), "size": len(body)}).encode()
        self.send_response(418)
        self.send_header("X-Backend", "yes")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_GET(self) -> None:
        """A redirection, a packed answer, or more than anybody takes."""
        packed = gzip.compress(b"unpacked")
        body = {"/gzip": packed, "/big": bytes(10 * 1024 * 1024 + 1)}.get(self.path, b"")
        self.send_response(302 if self.path == "/away" else 200)
        more = {"/away": ("Location", "/else"), "/gzip": ("Content-Encoding", "gzip")}.get(self.path)
        self.send_header(*(more or ("X-None", "")))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who wants no more has gone
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Apis:
    """The running cloud and how to ask its APIs."""

    cloud: RunningCloud
    outputs: dict[str, str]
    http: str

    def ask(self, method: str, path: str, body: bytes = b"", *, stage: str = "ApiId/v1", **headers: str) -> Answer:
        output, _, name = stage.partition("/")
        connection = http.client.HTTPConnection(urlsplit(self.http).netloc, timeout=30)
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            connection.request(method, f"/{self.outputs[output]}/{name}{path}", body, sent)
            reply = connection.getresponse()
            return Answer(reply.status, {key.lower(): value for key, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.cloud.status["endpoints"]["aws"],
            aws_access_key_id="AK",
            aws_secret_access_key="SK",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def message(self) -> str:
        """The body of the queue's next message, which is there or comes soon."""
        sqs, url = self.client("sqs"), self.outputs["QueueUrl"]
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return str(message["Body"])


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    """One cloud with the template, and the endpoint that it calls."""
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Backend)
    thread = threading.Thread(target=backend.serve_forever, daemon=True)
    thread.start()
    state = tmp_path_factory.mktemp("rest") / "state"
    port = f"BackendPort={backend.server_address[1]}"
    cloud = start_cloud(state, "--template", str(TEMPLATE), "--parameter-overrides", port)
    try:
        told = cloud.status
        yield Apis(cloud, told["outputs"], _origin(told))
    finally:
        cloud.sluiceway("down")
        backend.shutdown()
        backend.server_close()


def _origin(told: dict[str, Any]) -> str:
    address = urlsplit(told["endpoints"]["api"])
    return f"http://{address.netloc}"


def test_a_message_is_sent_and_its_id_comes_back(apis: Apis) -> None:
    """`sqs:path/...` behind a model: what does not fit never reaches the queue."""
    assert apis.ask("POST", "/queue", b"{}").status == 400
    answer = apis.ask("POST", "/queue", b'{"sku":"a & b"}')
    assert answer.status == 202
    assert len(answer.told["id"]) == 36
    assert apis.message() == '{"sku":"a & b"}'


def test_a_notification_is_published(apis: Apis) -> None:
    """`sns:action/Publish`, with a part of the body as a parameter."""
    answer = apis.ask("POST", "/topic", b'{"text":"h\xc3\xa9"}')
    assert answer.status == 200
    assert answer.told["PublishResponse"]["PublishResult"]["MessageId"]
    assert json.loads(apis.message())["Message"] == "hé"


def test_items_are_put_and_got(apis: Apis) -> None:
    """`dynamodb:action/...`, with loops in both directions and a status of the template's own."""
    assert apis.ask("PUT", "/i1", b'{"tags":["x","y/z"]}').status == 200
    assert apis.ask("GET", "/i1").told == {"tags": ["x", "y/z"]}
    missing = apis.ask("GET", "/none")
    assert (missing.status, missing.told) == (404, {"missing": True})


def test_events_reach_their_rule(apis: Apis) -> None:
    """`events:path//` with the target header mapped."""
    answer = apis.ask("POST", "/events", b'{"n":1}')
    assert (answer.status, answer.told["FailedEntryCount"]) == (200, 0)
    assert json.loads(apis.message()) == {"n": 1}


def test_records_are_put(apis: Apis) -> None:
    """`kinesis:action/PutRecord`."""
    put = apis.ask("POST", "/stream", b'{"n":1}')
    assert put.status == 200
    kinesis = apis.client("kinesis")
    where = {"StreamName": apis.outputs["StreamName"], "ShardId": put.told["ShardId"]}
    iterator = kinesis.get_shard_iterator(**where, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    (record,) = kinesis.get_records(ShardIterator=iterator)["Records"]
    assert json.loads(record["Data"]) == {"n": 1}


def test_state_machines_run_and_answer(apis: Apis) -> None:
    """`states:action/StartSyncExecution` gives the output, `StartExecution` the name of what runs."""
    ran = apis.ask("POST", "/machine", b'{"n":1}')
    assert (ran.status, ran.told) == (200, {"n": 1, "state": "done"})
    started = apis.ask("PUT", "/machine", b"{}")
    assert (started.status, set(started.told)) == (202, {"executionArn", "startDate"})


def test_objects_are_kept_whole(apis: Apis) -> None:
    """`s3:path/{bucket}/{key}`: bytes under a key with a slash, put, got, deleted."""
    png = bytes(range(256))
    assert apis.ask("PUT", "/files/a/b.png", png, Content_Type="image/png").status == 200
    got = apis.ask("GET", "/files/a/b.png", Accept="image/png")
    assert (got.status, got.body, got.headers["content-type"]) == (200, png, "image/png")
    assert apis.ask("DELETE", "/files/a/b.png").status == 204
    assert apis.ask("GET", "/files/a/b.png").status == 404


def test_functions_answer_templates_and_roles(apis: Apis) -> None:
    """By the function's policy, as a role, and with a status chosen by its error."""
    assert apis.ask("POST", "/function", b"{}").told == {"echo": {"from": "/function", "fail": ""}}
    failed = apis.ask("POST", "/function", b'{"fail":"x"}')
    assert (failed.status, failed.told["errorMessage"]) == (404, "NotFound: x")
    assert apis.ask("PUT", "/function", b'{"a":1}').told == {"echo": {"a": 1}}


def test_an_endpoint_is_proxied(apis: Apis) -> None:
    """The path's rest, the query string, headers and body there; status, headers and body back."""
    answer = apis.ask("PATCH", "/out/a/b?q=1", b"xyz", X_Mine="m")
    assert (answer.status, answer.headers["x-backend"]) == (418, "yes")
    assert answer.told == {"path": "/a/b?q=1", "mine": "m", "size": 3}


def test_answers_of_an_endpoint_are_passed_on_as_they_are(apis: Apis) -> None:
    """A redirection is the client's to follow, a packed body its own to unpack; too much is 504."""
    away = apis.ask("GET", "/out/away")
    assert (away.status, away.headers["location"]) == (302, "/else")
    packed = apis.ask("GET", "/out/gzip", Accept_Encoding="gzip")
    assert (packed.headers["content-encoding"], gzip.decompress(packed.body)) == ("gzip", b"unpacked")
    big = apis.ask("GET", "/out/big")
    assert (big.status, big.told) == (504, {"message": "Network error communicating with endpoint"})


async def test_what_cannot_be_sent_or_reached_fails_by_name() -> None:
    """A closed port, a name that is none, a header that would be two, an address without a host."""
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for call in (
        HttpCall("GET", f"http://127.0.0.1:{port}/", (), b""),
        HttpCall("GET", "http://no.such.name.invalid/", (), b""),
        HttpCall("GET", f"http://127.0.0.1:{port}/", (("X-A", "1\r\nX-B: 2"),), b""),
        HttpCall("GET", "http:///path", (), b""),
    ):
        with pytest.raises(HttpFailed):
            await HttpNetwork()(call, limit_bytes=10)


def test_keys_are_asked_for_and_throttled(apis: Apis) -> None:
    """403 without one, the key's id with it, 429 after two."""
    assert (apis.ask("GET", "/keyed").status, apis.ask("GET", "/keyed", X_Api_Key="x" * 20).status) == (403, 403)
    assert apis.ask("GET", "/keyed", X_Api_Key=KEY).told == {"id": apis.outputs["KeyId"]}
    assert [apis.ask("GET", "/keyed", X_Api_Key=KEY).status for _ in range(2)] == [200, 429]


def test_users_of_a_pool_are_let_in_by_their_tokens(apis: Apis) -> None:
    """A token that Cognito signed here; not one of another use, and not one that was changed."""
    cognito, pool = apis.client("cognito-idp"), apis.outputs["UsersId"]
    cognito.admin_create_user(UserPoolId=pool, Username="ann", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool, Username="ann", Password="Secret-123", Permanent=True)
    tokens = cognito.initiate_auth(
        ClientId=apis.outputs["ClientId"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": "Secret-123"},
    )["AuthenticationResult"]
    answer = apis.ask("GET", "/pool", Authorization=f"Bearer {tokens['IdToken']}")
    assert (answer.status, answer.told) == (200, {"who": "ann"})
    for token in (tokens["AccessToken"], tokens["IdToken"][:-8] + "AAAAAAAA", ""):
        refused = apis.ask("GET", "/pool", Authorization=token)
        assert (refused.status, refused.told) == (401, {"message": "Unauthorized"})


def test_signed_requests_name_their_caller(apis: Apis) -> None:
    """AWS_IAM: nobody without a signature; the account's own key may do everything."""
    assert apis.ask("GET", "/signed").told == {"lost": "/v1/signed"}  # the gateway response of a missing token
    request = AWSRequest("GET", f"{apis.http}/{apis.outputs['ApiId']}/v1/signed")
    SigV4Auth(Credentials("AK", "SK"), "execute-api", REGION).add_auth(request)
    answer = apis.ask("GET", "/signed", **{name: str(value) for name, value in request.headers.items()})
    assert (answer.status, answer.told) == (200, {"who": "arn:aws:iam::123456789012:root"})


def test_gateway_responses_of_their_own(apis: Apis) -> None:
    """A path that is not there is lost."""
    answer = apis.ask("GET", "/no/such")
    assert (answer.status, answer.told) == (404, {"lost": "/v1/no/such"})


def test_sams_keys_plan_and_policy(apis: Apis) -> None:
    """`Auth: {ApiKeyRequired, UsagePlan, ResourcePolicy}`: one method wants the key, the other does not."""
    assert apis.ask("GET", "/open", stage="SamApiId/dev").body == b"none"
    told = apis.client("apigateway").get_api_key(apiKey=apis.outputs["SamKeyId"], includeValue=True)
    assert apis.ask("GET", "/keyed", stage="SamApiId/dev").status == 403
    assert apis.ask("GET", "/keyed", stage="SamApiId/dev", X_Api_Key=KEY).status == 403  # of another API's plan
    answers = [apis.ask("GET", "/keyed", stage="SamApiId/dev", X_Api_Key=told["value"]) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert (answers[0].body.decode(), answers[2].told) == (told["id"], {"message": "Limit Exceeded"})


def test_the_apis_own_api_tells_keys_and_plans(apis: Apis) -> None:
    """boto3 reads both, page by page; what a template makes, it does not."""
    client = apis.client("apigateway")
    first = client.get_api_keys(limit=1)
    second = client.get_api_keys(limit=1, position=first["position"], includeValues=True)
    assert {first["items"][0]["id"], second["items"][0]["id"]} == {apis.outputs["KeyId"], apis.outputs["SamKeyId"]}
    assert ("value" in first["items"][0], "value" in second["items"][0]) == (False, True)
    (plan,) = client.get_usage_plans(keyId=apis.outputs["KeyId"])["items"]
    assert plan["throttle"] == {"rateLimit": 0.001, "burstLimit": 2}
    assert client.get_usage_plan(usagePlanId=plan["id"])["apiStages"] == [
        {"apiId": apis.outputs["ApiId"], "stage": "v1"}
    ]
    (member,) = client.get_usage_plan_keys(usagePlanId=plan["id"])["items"]
    assert (member["id"], member["value"]) == (apis.outputs["KeyId"], KEY)
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_api_key(apiKey="none")
    with pytest.raises(ClientError, match="is not served by this local cloud"):
        client.create_api_key(name="x")
