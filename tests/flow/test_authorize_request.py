"""authorize_request: the function as API Gateway sees it, in this process and under the official runtime client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from functions.authorize_request.app import handler
from sluiceway.errors import Misconfigured

REPOSITORY = Path(__file__).resolve().parents[2]
STAGE = "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
SETTINGS = {
    "TOKEN_ISSUER": "https://issuer.example/",
    "TOKEN_AUDIENCE": "sluiceway",
    "TOKEN_KEYS": json.dumps(
        {"keys": [{"kty": "RSA", "n": PUBLIC["n"], "e": PUBLIC["e"], "kid": "k1", "alg": "RS256", "use": "sig"}]}
    ),
    "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
}


def token(**changes: Any) -> str:
    """A bearer token, good for a minute."""
    now = int(time.time())
    claims = {"iss": "https://issuer.example/", "aud": "sluiceway", "sub": "user-1", "iat": now, "exp": now + 60}
    return jwt.encode({**claims, **changes}, KEY, algorithm="RS256", headers={"kid": "k1"})


def event(bearer: str | None, method: str = "GET", path: str = "/jobs/j1") -> dict[str, Any]:
    """What API Gateway asks."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return {
        "type": "REQUEST",
        "methodArn": f"{STAGE}/{method}{path}",
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": {"requestId": "gateway-id", "stage": "v1"},
    }


@dataclass
class Context:
    """A Lambda context."""

    aws_request_id: str = "request-1"
    function_name: str = "authorize_request"
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:authorize_request"

    def get_remaining_time_in_millis(self) -> int:
        """The template's timeout."""
        return 5000


@pytest.fixture
def authorize(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """The function's handler with the template's settings."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    yield lambda raw: handler(raw, Context())
    handler.close()


def test_one_answer_covers_every_route_of_the_stage(authorize: Any):
    """The gateway caches it by token: a policy for one method would refuse the caller's next route."""
    first = authorize(event(token()))
    second = authorize(event(token(), "POST", "/jobs"))
    assert first == second
    (statement,) = first["policyDocument"]["Statement"]
    assert statement.pop("Condition").keys() == {"DateLessThan"}
    assert statement == {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": [f"{STAGE}/*"]}
    assert len(first["principalId"]) == 22


def test_a_connection_is_let_in_as_the_same_caller(authorize: Any):
    """A handshake brings its token in either header; the policy covers the WebSocket API's stage."""
    context = {"requestId": "id", "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "c"}
    asked = {"type": "REQUEST", "methodArn": f"{STAGE}/$connect", "requestContext": context}
    by_header = authorize({**asked, "headers": {"Authorization": f"Bearer {token()}"}})
    by_subprotocol = authorize({**asked, "headers": {"Sec-WebSocket-Protocol": f"sluiceway, bearer.{token()}"}})
    assert by_header == by_subprotocol == authorize(event(token()))
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize({**asked, "headers": {"Sec-WebSocket-Protocol": "sluiceway"}})


def test_callers_are_told_apart_by_subject(authorize: Any):
    """Jobs belong to the principal."""
    assert authorize(event(token()))["principalId"] != authorize(event(token(sub="user-2")))["principalId"]


def test_groups_and_tenant_are_in_the_context(authorize: Any):
    """As texts, since a context holds no lists; nothing where the token says nothing. The whole stays below 8 KB."""
    assert authorize(event(token()))["context"].keys() == {"expires_s"}
    said = authorize(event(token(**{"cognito:groups": ["b", "a"], "custom:tenant": "acme"})))["context"]
    assert {name: said[name] for name in said if name != "expires_s"} == {"groups": '["a","b"]', "tenant": "acme"}
    largest = authorize(event(token(**{"cognito:groups": [f"{number:010}" for number in range(100)]})))
    assert len(json.dumps(largest)) < 8192


def test_when_the_token_is_over_is_in_the_context(authorize: Any):
    """Its `exp` and the leeway within which it is let in: a connection is held against that until it ends."""
    expires_s = int(time.time()) + 600
    assert authorize(event(token(exp=expires_s)))["context"]["expires_s"] == expires_s + 30


@pytest.mark.parametrize(
    ("bearer", "reason"),
    [
        (lambda: token(**{"cognito:groups": "admin"}), "groups"),
        (lambda: None, "missing"),
        (lambda: "", "missing"),
        (lambda: "nonsense", "malformed"),
        (lambda: token(exp=1), "expired"),
        (lambda: token(aud="other"), "audience"),
        (lambda: token(iss="https://other.example/"), "issuer"),
        (lambda: token()[:-8] + "AAAAAAAA", "signature"),
    ],
)
def test_a_refused_token_is_unauthorized(
    authorize: Any, capsys: pytest.CaptureFixture[str], bearer: Callable[[], str | None], reason: str
):
    """The text is exactly the one that means 401; why is in logs and metrics only, and the token nowhere."""
    given = bearer()  # made now: a token that was made when tests were collected may have expired
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(event(given))
    out = capsys.readouterr().out
    written = [json.loads(line) for line in out.splitlines()]
    assert [line["reason"] for line in written if line.get("message") == "invocation.rejected"] == [reason]
    counted = [(line.get("reason", ""), line["TokenRefused"]) for line in written if "TokenRefused" in line]
    assert counted == [("", [1.0]), (reason, 1)]
    assert not given or given not in out


def test_an_event_of_another_kind_is_not_a_401(authorize: Any):
    """Trouble of ours is a 500: it must not look like the caller's."""
    with pytest.raises(Exception, match="event's type"):
        authorize({"type": "OTHER"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_KEYS", ""),
        ("TOKEN_KEYS", "not json"),
        ("TOKEN_KEYS", '{"keys":[]}'),
        ("TOKEN_KEYS", '{"keys":[{"kty":"RSA","d":"secret-part"}]}'),
        ("TOKEN_ISSUER", ""),
        ("TOKEN_AUDIENCE", " "),
        ("POWERTOOLS_METRICS_NAMESPACE", ""),
    ],
)
def test_a_wrong_setting_is_named(authorize: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    """The deployment learns which setting to mend, and no key material ends in a log."""
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=name) as caught:
        authorize(event(token()))
    assert "secret-part" not in str(caught.value)


# -------------------------------------------------------------------- under the official runtime client


@dataclass
class RuntimeApi:
    """As much of the Lambda Runtime API as one environment asks for."""

    address: str
    invocations: Queue[dict[str, Any] | None] = field(default_factory=Queue)
    answers: Queue[tuple[str, dict[str, Any]]] = field(default_factory=Queue)


@contextmanager
def runtime_api() -> Generator[RuntimeApi]:
    """Serve the Runtime API on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            raw = api.invocations.get()
            if raw is None:
                self.close_connection = True
                return
            body = json.dumps(raw).encode()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "request-1")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 5000))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", Context().invoked_function_arn)
            # Without a content type the client's native part ends with a segmentation fault (4.2.2).
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            api.answers.put((self.path.rpartition("/runtime/")[2], body))

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing waits for every thread
    api = RuntimeApi(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        api.invocations.put(None)  # frees a `next` that still waits
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def environment(api: RuntimeApi, **settings: str) -> Generator[subprocess.Popen[str]]:
    """The function in a process of its own, as Lambda starts it."""
    variables = {
        **SETTINGS,
        **settings,
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "authorize_request",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "PYTHONPATH": os.pathsep.join(
            [str(REPOSITORY / "functions/authorize_request"), str(REPOSITORY / "layers/sluiceway")]
        ),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "app.handler"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_official_client_drives_it_twice():
    """Two warm invocations and a refusal on one loop: replies and the error as Lambda would hand them on."""
    with runtime_api() as api, environment(api):
        for raw in (event(token()), event(token(), "POST", "/jobs"), event(None)):
            api.invocations.put(raw)
        answers = [api.answers.get(timeout=20) for _ in range(3)]
    assert [place for place, _ in answers] == [
        "invocation/request-1/response",
        "invocation/request-1/response",
        "invocation/request-1/error",
    ]
    assert answers[0][1] == answers[1][1]
    assert answers[0][1]["policyDocument"]["Statement"][0]["Resource"] == [f"{STAGE}/*"]
    assert answers[2][1]["errorMessage"] == "Unauthorized"


def test_a_wrong_setting_is_an_init_error():
    """The environment never asks for an invocation; Lambda is told the setting's name, and the process ends."""
    with runtime_api() as api, environment(api, TOKEN_KEYS='{"keys":[]}') as process:
        place, told = api.answers.get(timeout=20)
        assert process.wait(timeout=20) == 1
    assert (place, told["errorType"]) == ("init/error", "Misconfigured")
    assert told["errorMessage"].startswith("TOKEN_KEYS is no usable key set")
