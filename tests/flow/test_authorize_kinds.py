"""authorize_request: one function for every kind of API, with keys of the deployment and keys that are read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from functions.authorize_request.app import handler
from sluiceway.codec import web
from sluiceway.flows.authorize.key_ring import KeysUnavailable
from tests.flow.test_authorize_request import REPOSITORY, Context
from tests.unit.token_setup import CLAIMS, KEY, KEYS, OTHER, b64, jwk, part, seal, sign

STAGE = "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1"
SECOND = "https://second.example/"


def token(**changes: Any) -> str:
    """A bearer token of the short form's issuer, good for a minute from now."""
    now = int(time.time())
    header = {name: changes.pop(name) for name in ("kid", "alg", "key") if name in changes}
    return sign({**CLAIMS, "iat": now, "exp": now + 60, **changes}, **header)


def rest(bearer: str) -> dict[str, Any]:
    """A REST API's REQUEST event."""
    return {
        "type": "REQUEST",
        "methodArn": f"{STAGE}/GET/jobs/j1",
        "path": "/jobs/j1",
        "httpMethod": "GET",
        "headers": {"Authorization": f"Bearer {bearer}"},
        "requestContext": {"requestId": "gateway-id"},
    }


def rest_token(bearer: str) -> dict[str, Any]:
    """A REST API's TOKEN event."""
    return {"type": "TOKEN", "methodArn": f"{STAGE}/GET/jobs/j1", "authorizationToken": f"Bearer {bearer}"}


def http_one(bearer: str) -> dict[str, Any]:
    """An HTTP API's event, payload 1.0."""
    return rest(bearer) | {"version": "1.0", "identitySource": "x", "authorizationToken": "x"}


def http_two(bearer: str) -> dict[str, Any]:
    """An HTTP API's event, payload 2.0."""
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": f"{STAGE}/GET/jobs/j1",
        "rawPath": "/jobs/j1",
        "headers": {"authorization": f"Bearer {bearer}"},
        "requestContext": {"http": {"method": "GET", "path": "/jobs/j1"}, "requestId": "gateway-id"},
    }


def socket(bearer: str) -> dict[str, Any]:
    """A WebSocket's handshake."""
    context = {"requestId": "id", "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "c"}
    headers = {"Sec-WebSocket-Protocol": f"sluiceway, bearer.{bearer}"}
    return {"type": "REQUEST", "methodArn": f"{STAGE}/$connect", "requestContext": context, "headers": headers}


KINDS = [rest, rest_token, http_one, http_two, socket]


@pytest.fixture
def authorize(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """Begin with these settings beside the usual ones; every call is one invocation."""
    usual = {
        "TOKEN_ISSUER": CLAIMS["iss"],
        "TOKEN_AUDIENCE": "sluiceway",
        "TOKEN_KEYS": json.dumps({"keys": [jwk(KEY, "k1")]}),
        "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    }

    def begin(**settings: str) -> Any:
        handler.close()
        for name, value in {**usual, **settings}.items():
            monkeypatch.setenv(name, value)
        return lambda raw: handler(raw, Context())

    yield begin
    handler.close()


@contextmanager
def issuer(keys: dict[str, Any]) -> Generator[tuple[str, dict[str, Any], list[str]]]:
    """A server of key sets on loopback: its address, the private keys (to be changed), and what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"keys": [jwk(key, kid) for kid, key in keys.items()]}).encode()
            self.send_response(200 if keys else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys", keys, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_answered_with_a_policy_until_the_tokens_end(authorize: Any, kind: Any):
    """Of the whole stage, since one kept answer serves every route."""
    expires_s = int(time.time()) + 300
    reply = authorize()(kind(token(exp=expires_s)))
    (statement,) = reply["policyDocument"]["Statement"]
    until = datetime.fromtimestamp(expires_s + 30, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert statement == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": [f"{STAGE}/*"],
        "Condition": {"DateLessThan": {"aws:CurrentTime": until}},
    }
    assert reply["context"]["expires_s"] == expires_s + 30


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_refused_with_401(authorize: Any, kind: Any):
    """By the text that means it, where a policy is what the API wants."""
    for settings in ({}, {"HTTP_RESPONSES": "iam"}):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(**settings)(kind(token(aud="other")))


def test_a_simple_response_has_the_caller_in_its_context(authorize: Any):
    """An HTTP API hands on nothing else, and its functions look for the caller there."""
    reply = authorize(HTTP_RESPONSES="simple")(http_two(token(**{"cognito:groups": ["a"]})))
    caller = reply["context"]["principalId"]
    assert (reply["isAuthorized"], reply.keys(), len(caller)) == (True, {"isAuthorized", "context"}, 22)
    assert reply["context"]["groups"] == '["a"]'
    event = http_two("x") | {"rawQueryString": "", "requestContext": {
        "http": {"method": "GET", "path": "/"}, "requestId": "r", "authorizer": {"lambda": reply["context"]},
    }}  # fmt: skip
    assert web.decode(event).caller == caller


def test_a_refused_token_is_false_in_a_simple_response(authorize: Any, capsys: pytest.CaptureFixture[str]):
    """Which the API answers with 403; the reason is in log and metrics as ever, and the context tells nothing."""
    ask = authorize(HTTP_RESPONSES="simple")
    assert ask(http_two(token(aud="other"))) == {"isAuthorized": False, "context": {}}
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["reason"] for line in written if line.get("message") == "invocation.rejected"] == ["audience"]
    assert [line["TokenRefused"] for line in written if line.get("reason") == "audience" and "TokenRefused" in line]


@pytest.mark.parametrize("kind", [rest, rest_token, http_one, socket])
def test_simple_responses_are_for_payload_2_alone(authorize: Any, kind: Any):
    """The setting changes no other API's answer."""
    ask = authorize(HTTP_RESPONSES="simple")
    assert "policyDocument" in ask(kind(token()))
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask(kind(token(aud="other")))


def test_several_issuers_are_trusted_each_with_its_own_keys(authorize: Any):
    """The short form's and those of the list; callers of the same name are two callers."""
    listed = [{"issuer": SECOND, "audiences": ["second"], "keys": {"keys": [jwk(KEYS["ES256"], "k1")]}}]
    ask = authorize(TOKEN_ISSUERS=json.dumps(listed))
    own = ask(rest(token()))
    second = ask(rest(token(iss=SECOND, aud="second", alg="ES256")))
    assert own["principalId"] != second["principalId"]
    for bad in (token(iss=SECOND, aud="second"), token(alg="ES256"), token(iss=SECOND, aud="sluiceway", alg="ES256")):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            ask(rest(bad))


def test_keys_are_read_from_their_address(authorize: Any):
    """Once for several invocations; a rotated key works at once, and the deployment's key is the issuer's no more."""
    with issuer({"k2": OTHER}) as (url, keys, asked):
        ask = authorize(TOKEN_KEYS_URL=url)
        for _ in range(3):
            assert "policyDocument" in ask(rest(token(kid="k2", key=OTHER)))
        assert asked == ["/keys"]
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            ask(rest(token()))
        assert asked == ["/keys"] * 2
        keys["k3"] = KEY
        handler.close()
        assert "policyDocument" in ask(rest(token(kid="k3")))


def test_keys_that_cannot_be_read_are_no_refusal(authorize: Any, capsys: pytest.CaptureFixture[str]):
    """An error of its own, which every API answers with a 5xx, in a metric that an alarm watches."""
    with issuer({}) as (url, _keys, asked):
        ask = authorize(TOKEN_KEYS_URL=url, TOKEN_KEYS="", HTTP_RESPONSES="simple")
        for kind in KINDS:
            with pytest.raises(KeysUnavailable, match="cannot be read"):
                ask(kind(token()))
        assert len(asked) == 1
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["KeysUnavailable"] for line in written if "KeysUnavailable" in line] == [[1.0]] * len(KINDS)
    assert [line["TokenRefused"] for line in written if "TokenRefused" in line] == []
    assert {line["issuer"] for line in written if line.get("message") == "keys.unavailable"} == {CLAIMS["iss"]}


def test_the_deployments_keys_serve_while_the_issuer_is_away(authorize: Any):
    """The last resort of a cold start."""
    with issuer({}) as (url, _keys, _asked):
        assert "policyDocument" in authorize(TOKEN_KEYS_URL=url)(rest(token()))


def crowded(letter: str) -> tuple[str, list[str]]:
    """A token with nearly as many groups as are taken, written as UTF-8, and its groups."""
    groups = [letter * 100 + str(number) for number in range(9)]
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 60, "cognito:groups": groups, "custom:tenant": letter * 128}
    text = json.dumps(claims, ensure_ascii=False).encode()
    return seal(part({"alg": "RS256", "kid": "k1"}), b64(text)), groups


@pytest.mark.parametrize("letter", ["g", "é", '"'])
def test_groups_and_tenant_fit_into_8_kilobytes(authorize: Any, letter: str):
    """Which is what API Gateway takes of an authorizer, escapes and all."""
    bearer, groups = crowded(letter)
    reply = authorize()(rest(bearer))
    assert len(json.dumps(reply)) <= 8_192
    assert json.loads(reply["context"]["groups"]) == groups


def test_what_is_over_8_kilobytes_is_refused(authorize: Any, capsys: pytest.CaptureFixture[str]):
    """It is carried whole or not at all: a group that was cut off may be one that is denied something."""
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize()(rest(crowded("\U0001f600")[0]))
    assert '"reason":"context"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTP_RESPONSES", "both"), ("TOKEN_ISSUERS", "{}"), ("TOKEN_KEYS_URL", "http://x/"), ("KEYS_STALE_S", "x")],
)
def test_a_wrong_setting_is_named(authorize: Any, name: str, value: str):
    """At the first invocation here; in Lambda at init."""
    with pytest.raises(Exception, match=name):
        authorize(**{name: value})(rest(token()))


def test_what_reads_keys_is_not_imported_where_none_are_read():
    """TLS and HTTP cost a cold start 20 ms: only a deployment with an address of keys pays for them."""
    code = (
        "import sys, json, os; from functions.authorize_request.app import handler;"
        "from tests.flow.test_authorize_request import Context;"
        f"assert 'policyDocument' in handler({json.dumps(rest(token()))}, Context());"
        "print(sorted({'sluiceway.aws.keys', 'sluiceway.aws.http'} & set(sys.modules)))"
    )
    settings = {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "layers/sluiceway")]),
        "PATH": os.environ["PATH"],
        "TOKEN_ISSUER": CLAIMS["iss"],
        "TOKEN_AUDIENCE": "sluiceway",
        "TOKEN_KEYS": json.dumps({"keys": [jwk(KEY, "k1")]}),
        "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    }
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, check=False, text=True)
    assert (done.stdout.splitlines()[-1:], done.stderr) == (["[]"], "")
