"""HTTP APIs in a running local cloud: SAM's events, separate resources and quick create, over real sockets."""

from __future__ import annotations

import http.client
import http.server
import json
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

from localcloud.clock import SystemClock
from localcloud.issuer import LocalIssuer
from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

TEMPLATE = Path(__file__).parent / "http_api" / "template.yaml"
REGION = "us-east-1"


class _Backend(http.server.BaseHTTPRequestHandler):
    """Answers what it was asked."""

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        told = json.dumps({"path": self.path, "from": self.headers.get("X-From"), "body": body.decode()}).encode()
        self.send_response(418)
        self.send_header("X-Back", "yes")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Answer:
    """What came back; headers in lower case, with every value."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    def one(self, name: str) -> str | None:
        return self.headers.get(name, [None])[-1]


@dataclass(frozen=True)
class Apis:
    """The running cloud and how to ask its APIs."""

    cloud: RunningCloud

    def ask(self, method: str, path: str, body: bytes = b"", /, *, api: str = "api", **headers: str) -> Answer:
        """One request; headers in snake case."""
        parts = urlsplit(self.cloud.status["endpoints"][api])
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, parts.path + path, body or None, sent)
            reply = connection.getresponse()
            found: dict[str, list[str]] = {}
            for name, value in reply.getheaders():
                found.setdefault(name.lower(), []).append(value)
            return Answer(reply.status, found, reply.read())
        finally:
            connection.close()

    def token(self, *, audience: str = "app", **claims: object) -> str:
        """A token of the cloud's own issuer."""
        issuer = LocalIssuer.open(self.cloud.state)
        made = issuer.token(subject="ann", audience=audience, minutes=5, clock=SystemClock(), claims=claims)
        return f"Bearer {made}"

    def client(self, service: str) -> Any:
        """boto3, as the developer."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.cloud.status["endpoints"]["aws"],
            aws_access_key_id="developer",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apis]:
    """The template's cloud, and a server behind its HTTP integration."""
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Backend)
    thread = threading.Thread(target=backend.serve_forever)
    thread.start()
    try:
        back = f"Back=127.0.0.1:{backend.server_address[1]}"
        state = tmp_path_factory.mktemp("http-api") / "state"
        cloud = start_cloud(state, "--template", str(TEMPLATE), "--parameter-overrides", back)
        yield Apis(cloud)
        cloud.sluiceway("down")
    finally:
        backend.shutdown()
        thread.join()
        backend.server_close()


def test_addresses_are_those_that_answer_here(apis: Apis) -> None:
    """`$default` has no part of the path, a named stage has; AWS's own addresses in outputs are shown as here."""
    status = apis.cloud.status
    endpoints, outputs = status["endpoints"], status["outputs"]
    assert endpoints["api"].endswith(f"/{outputs['ApiId']}")
    assert outputs["ApiUrl"] == f"{endpoints['api']}/"
    assert endpoints["parts"] == outputs["PartsUrl"]
    assert apis.cloud.sluiceway("status", "api").stdout.strip() == endpoints["api"]


def test_a_function_gets_format_2_and_its_answer_is_inferred(apis: Apis) -> None:
    """From a path with a variable, with cookies and a query that repeats."""
    answer = apis.ask("GET", "/open/a%20b?q=1&q=2", cookie="a=1; b=2")
    event = answer.told
    assert (answer.status, answer.one("content-type")) == (200, "application/json")
    assert answer.one("apigw-requestid") == event["requestContext"]["requestId"]
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "GET /open/{id}", "/open/a b")
    assert (event["cookies"], event["queryStringParameters"]) == (["a=1", "b=2"], {"q": "1,2"})
    assert (event["pathParameters"], event["requestContext"]["stage"]) == ({"id": "a b"}, "$default")


def test_the_most_specific_route_answers_and_others_are_not_found(apis: Apis) -> None:
    """A greedy route takes every method below its path."""
    posted = apis.ask("POST", "/posted", b'{"a":1}', content_type="application/json")
    greedy = apis.ask("DELETE", "/rest/x/y")
    missing = apis.ask("GET", "/posted")
    assert (posted.told["body"], posted.told["isBase64Encoded"]) == ('{"a":1}', False)
    assert (greedy.told["routeKey"], greedy.told["pathParameters"]) == ("ANY /rest/{proxy+}", {"proxy": "x/y"})
    assert (missing.status, missing.body) == (404, b'{"message":"Not Found"}')


def test_replies_of_every_form(apis: Apis) -> None:
    """Text, cookies, and 500 for one that is broken and for a function that raises."""
    text, cookies, broken, raised = (apis.ask("GET", f"/reply?kind={each}") for each in _KINDS)
    assert (text.status, text.body, text.one("content-type")) == (200, b"Hello", "application/json")
    assert (cookies.status, cookies.body, cookies.headers["set-cookie"]) == (201, b"x", ["a=1", "b=2"])
    failed = (500, b'{"message":"Internal Server Error"}')
    assert [(each.status, each.body) for each in (broken, raised)] == [failed, failed]


_KINDS = ("text", "cookies", "broken", "raise")


def test_format_1_is_there_for_those_who_ask_for_it(apis: Apis) -> None:
    """With headers of many values, both ways."""
    answer = apis.ask("GET", "/first?q=1&q=2")
    assert (answer.status, answer.headers["x-a"]) == (200, ["1", "2"])
    event = answer.told
    assert (event["version"], event["resource"], event["httpMethod"]) == ("1.0", "/first", "GET")
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"]}
    assert event["requestContext"]["authorizer"] == {"claims": None, "scopes": None}


def test_tokens_of_the_local_issuer_are_verified(apis: Apis) -> None:
    """Fetched keys, real signatures, audience and scopes; `sluiceway token` signs them too."""
    good = apis.ask("GET", "/tokens", authorization=apis.token(team="red"))
    claims = good.told["requestContext"]["authorizer"]["jwt"]["claims"]
    assert (good.status, claims["sub"], claims["team"], claims["aud"]) == (200, "ann", "red", "app")
    signed = apis.cloud.token("eve")
    assert apis.ask("GET", "/tokens", authorization=signed).status == 200
    none, forged = apis.ask("GET", "/tokens"), apis.ask("GET", "/tokens", authorization=f"{signed[:-8]}AAAAAAAA")
    other = apis.ask("GET", "/tokens", authorization=apis.token(audience="else"))
    assert [(each.status, each.body) for each in (none, forged, other)] == [(401, b'{"message":"Unauthorized"}')] * 3
    assert none.one("www-authenticate") == "Bearer"
    words = 'Bearer scope="" error="invalid_token" error_description='
    assert forged.one("www-authenticate") == f'{words}"signature is invalid"'
    assert other.one("www-authenticate") == f'{words}"the token does not have a valid audience"'
    bare = apis.ask("GET", "/scoped", authorization=apis.token())
    scoped = apis.ask("GET", "/scoped", authorization=apis.token(scope="read"))
    assert (bare.status, bare.body, scoped.status) == (403, b'{"message":"Forbidden"}', 200)


def test_tokens_of_a_user_pool_are_verified(apis: Apis) -> None:
    """With the pool's own keys, here: the id token by its audience, the access token by its client."""
    outputs, cognito = apis.cloud.status["outputs"], apis.client("cognito-idp")
    pool, secret = outputs["PoolId"], "Secret-123!"
    cognito.admin_create_user(UserPoolId=pool, Username="ann", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool, Username="ann", Password=secret, Permanent=True)
    flow = {"USERNAME": "ann", "PASSWORD": secret}
    signed = cognito.initiate_auth(ClientId=outputs["ClientId"], AuthFlow="USER_PASSWORD_AUTH", AuthParameters=flow)
    for kind, use in (("IdToken", "id"), ("AccessToken", "access")):
        answer = apis.ask("GET", "/pool", authorization=f"Bearer {signed['AuthenticationResult'][kind]}")
        assert (answer.status, answer.told["requestContext"]["authorizer"]["jwt"]["claims"]["token_use"]) == (200, use)
    assert apis.ask("GET", "/pool", authorization=apis.token()).status == 401


@pytest.mark.parametrize(("route", "told"), [("/layered1", {"expires_s"}), ("/layered2", {"expires_s", "principalId"})])
def test_the_layers_authorizer_decides_in_both_formats(apis: Apis, route: str, told: set[str]) -> None:
    """As a policy; without a token it is never asked, a bad one is 401."""
    answer = apis.ask("GET", route, authorization=apis.token())
    assert answer.status == 200
    context = answer.told["requestContext"]["authorizer"]["lambda"]
    assert (set(context), type(context["expires_s"])) == (told, int)
    statuses = [apis.ask("GET", route).status, apis.ask("GET", route, authorization="Bearer x.y.z").status]
    assert statuses == [401, 401]


def test_a_simple_answer_is_kept_by_its_identity(apis: Apis) -> None:
    """Asked once for each; a no is 403, and no identity 401."""
    answers = [apis.ask("GET", "/simple", x_user=user) for user in ("ann", "ann", "bob", "bob")]
    assert [answer.status for answer in answers] == [200, 200, 403, 403]
    assert answers[0].told["requestContext"]["authorizer"] == {"lambda": {"team": "red"}}
    assert apis.ask("GET", "/simple").status == 401
    (name,) = (name for name in apis.cloud.status["logs"] if name.endswith("Check"))
    log = Path(apis.cloud.status["logs"][name]).read_text()
    assert [log.count(f"asked for ['{user}']") for user in ("ann", "bob")] == [1, 1]


def _signed(url: str) -> dict[str, str]:
    request = AWSRequest("GET", url)
    SigV4Auth(Credentials("developer", "secret"), "execute-api", REGION).add_auth(request)
    return {name.lower().replace("-", "_"): value for name, value in request.headers.items()}


def test_a_route_with_aws_iam_wants_a_signature(apis: Apis) -> None:
    """The function learns whose; without one the answer is 403."""
    unsigned = apis.ask("GET", "/signed")
    signed = apis.ask("GET", "/signed", **_signed(f"{apis.cloud.status['endpoints']['api']}/signed"))
    assert (unsigned.status, unsigned.body) == (403, b'{"message":"Forbidden"}')
    assert (signed.status, signed.told["requestContext"]["authorizer"]["iam"]["accessKey"]) == (200, "developer")


def test_the_api_answers_preflights(apis: Apis) -> None:
    """From the configuration of Globals; nobody else gets its headers."""
    sent = {"origin": "https://app.example", "access_control_request_method": "GET"}
    asked = apis.ask("OPTIONS", "/tokens", **sent)
    names = ("access-control-allow-origin", "access-control-allow-methods", "access-control-max-age")
    assert (asked.status, [asked.one(name) for name in names]) == (204, ["https://app.example", "GET,POST", "60"])
    answer = apis.ask("GET", "/open/1", origin="https://other.example")
    assert (answer.status, answer.one("access-control-allow-origin")) == (200, None)


def test_services_are_called_with_the_integrations_role(apis: Apis) -> None:
    """SQS, EventBridge and Step Functions as the role may; Kinesis not, in its own words."""
    sent = apis.ask("POST", "/send", b'{"text":"hi"}', api="parts")
    assert (sent.status, b"<SendMessageResponse" in sent.body) == (200, True)
    sqs = apis.client("sqs")
    found = sqs.receive_message(QueueUrl=apis.cloud.status["outputs"]["QueueUrl"], WaitTimeSeconds=1)
    assert [message["Body"] for message in found["Messages"]] == ["hi"]
    put = apis.ask("POST", "/put", b'{"k":1}', api="parts")
    assert (put.status, put.told["FailedEntryCount"], len(put.told["Entries"])) == (200, 0, 1)
    ran = apis.ask("POST", "/run", b'{"k":1}', api="parts")
    assert (ran.status, ran.told["status"], ran.told["output"]) == (200, "SUCCEEDED", '{"said":true}')
    refused = apis.ask("POST", "/record", b'{"data":"aGk="}', api="parts")
    assert (refused.status, refused.told["__type"]) == (400, "AccessDeniedException")


def test_an_address_is_asked_and_its_answer_mapped(apis: Apis) -> None:
    """Path, query and body pass, a header is added, one status becomes another."""
    answer = apis.ask("PATCH", "/pass/a%20b/c?q=1", b"body", api="parts")
    expected = {"path": "/in/a%20b/c?q=1", "from": "ANY /pass/{proxy+}", "body": "body"}
    assert (answer.status, answer.one("x-back"), answer.told) == (202, "yes", expected)


def test_a_route_is_throttled(apis: Apis) -> None:
    """429 with the words of API Gateway."""
    first, second = (apis.ask("GET", "/limited", api="parts") for _ in range(2))
    assert (first.status, first.told["rawPath"]) == (200, "/v1/limited")
    assert (second.status, second.body) == (429, b'{"message":"Too Many Requests"}')


def test_quick_create_answers_everything(apis: Apis) -> None:
    """With no stage of its own in the template, at the API's address."""
    answer = apis.ask("PUT", "/any/thing", api="quick")
    assert (answer.status, answer.told["routeKey"], answer.told["rawPath"]) == (200, "$default", "/any/thing")


def test_limits_of_a_request_are_those_of_http_apis(apis: Apis) -> None:
    """10 MB of body, 10,240 bytes of request line and headers."""
    large = apis.ask("POST", "/posted", bytes(10 * 1024 * 1024 + 1))
    wide = apis.ask("GET", "/open/1", x_wide="x" * 10_240)
    assert (large.status, large.body) == (413, b'{"message":"Request Entity Too Large"}')
    assert wide.status == 431


def test_requests_have_traces_named_by_route(apis: Apis) -> None:
    """Never by a path with values in it."""
    apis.ask("GET", "/open/secret", x_amzn_trace_id="Root=1-6b0a9eb7-4ce0e06c097b59f3971bbca6")
    console = urlsplit(apis.cloud.status["endpoints"]["console"])
    connection = http.client.HTTPConnection(console.netloc, timeout=10)
    connection.request("GET", "/api/traces")
    told = connection.getresponse().read().decode()
    connection.close()
    assert "GET /open/{id}" in told
    assert "secret" not in told
