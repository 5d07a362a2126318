"""Each target turns a case into the request, or the command line, that it was recorded from."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from localcloud.caller import LambdaEndpoint, Unreachable
from localcloud.replay.cases import NOT_RECORDED, Case, differences
from localcloud.replay.targets import (
    HttpTarget,
    LambdaTarget,
    SamTarget,
    WebSocketTarget,
    caller_of,
    logical_id,
)
from sluiceway.aws.sigv4 import Credentials
from sluiceway.rules.tokens import name_caller

NOBODY = "http://127.0.0.1:1"  # port 1: nobody listens


def _token(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


NEEDS_TOKEN = "it needs a bearer token: --token or $TOKEN"
TOKEN = _token({"iss": "https://issuer.example", "sub": "developer"})


def _case(
    event: dict[str, Any], reply: object = NOT_RECORDED, *, frame: object = NOT_RECORDED, function: str = "read_job"
) -> Case:
    return Case(function, "one", Path("events") / function / "one.json", event, reply, frame)


@dataclass
class Recorded:
    """What a server was asked, and what it says to everything."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Recorded]:
    """An HTTP server that writes down what it is asked."""
    recorded = Recorded()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            recorded.asked.append((self.command, self.path, headers, body))
            self.send_response(recorded.status)
            for name, value in recorded.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(recorded.body)))
            self.end_headers()
            self.wfile.write(recorded.body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    recorded.url = f"http://127.0.0.1:{http.server_port}"
    yield recorded
    http.shutdown()
    thread.join()
    http.server_close()


# ---------------------------------------------------------------- sam


def test_sam_gets_exactly_these_arguments() -> None:
    """`sam local invoke <LogicalId> --template T --event FILE`, then what followed `--`, unchanged."""
    target = SamTarget(Path("template.yaml"), ("--docker-network", "host", "--env-vars", "env.json"))
    assert target.arguments(_case({}, function="generate_answer")) == [
        "sam", "local", "invoke", "GenerateAnswer",
        "--template", "template.yaml",
        "--event", str(Path("events/generate_answer/one.json")),
        "--docker-network", "host", "--env-vars", "env.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "name"), [("read_job", "ReadJob"), ("authorize_request", "AuthorizeRequest"), ("plan", "Plan")]
)
def test_a_folder_has_the_logical_id_of_its_words(folder: str, name: str) -> None:
    """verb_noun in the tree, VerbNoun in the template."""
    assert logical_id(folder) == name


def _sam(folder: Path, script: str) -> SamTarget:
    program = folder / "sam"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return SamTarget(Path("template.yaml"), program=str(program))


def test_sams_last_line_is_the_reply(tmp_path: Path) -> None:
    """What the function prints comes before; sam's own words go to stderr."""
    target = _sam(tmp_path, "echo START; echo 'a log line'; echo Mounting >&2; echo '{\"statusCode\": 200}'")
    assert target.send(_case({})) == {"statusCode": 200}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no container runtime' >&2; exit 1", "sam ended with 1: no container runtime"),
        ("true", "sam ended with 0"),
        ("echo hello", "is not JSON"),
    ],
)
def test_sam_without_a_reply_is_said(tmp_path: Path, script: str, said: str) -> None:
    """A failed run, no output and output that is no JSON each end with the reason."""
    target = _sam(tmp_path, script)
    with pytest.raises(Unreachable) as unreachable:
        target.send(_case({}))
    assert said in str(unreachable.value).replace(f"{tmp_path}/", "")


def test_a_missing_sam_is_said(tmp_path: Path) -> None:
    """The message names what is missing and where it comes from."""
    target = SamTarget(Path("template.yaml"), program=str(tmp_path / "sam"))
    with pytest.raises(Unreachable, match=r"not installed; see https://docs\.aws\.amazon\.com"):
        target.send(_case({}))


def test_sam_may_stream(tmp_path: Path) -> None:
    """A streamed response is read whole, whatever lines its body has; log lines before it are none of it."""
    target = _sam(tmp_path, """printf 'a log line\\n{"statusCode":201}\\0\\0\\0\\0\\0\\0\\0\\0id: 1\\n\\ndata: x'""")
    reply = {"statusCode": 201, "headers": {}, "body": "id: 1\n\ndata: x", "isBase64Encoded": False}
    assert target.send(_case({})) == reply


def test_sam_takes_no_case_with_a_token() -> None:
    """sam sends the file as it is, and the placeholder is no token."""
    target = SamTarget(Path("template.yaml"))
    refusals = [target.refusal(_case(event)) for event in ({}, {"authorization": "{{token}}"})]
    assert refusals == ["", "sam sends the file as it is, without a token"]


# ---------------------------------------------------------------- Lambda


@pytest.mark.parametrize("session", ["", "a/session+token=="])
@pytest.mark.parametrize(
    "name",
    [
        "sluiceway-ReadJob",
        "sluiceway-ReadJob:live",
        "123456789012:function:ReadJob",
        "arn:aws:lambda:eu-central-1:123456789012:function:ReadJob:7",
    ],
)
def test_the_signature_is_the_one_that_botocore_makes(server: Recorded, name: str, session: str) -> None:
    """For names, aliases and ARNs, with and without a session token: botocore signs the same request the same way."""
    endpoint = LambdaEndpoint(server.url, "eu-central-1", Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", session))
    event = {"text": "Zürich & 東京"}
    LambdaTarget(endpoint, {"read_job": name}).send(_case(event))
    ((method, path, headers, body),) = server.asked
    assert json.loads(body) == event
    request = AWSRequest(
        method=method,
        url=server.url + path,
        data=body,
        headers={
            each: headers[each]
            for each in ("host", "content-type", "x-amz-date", "x-amz-security-token")
            if each in headers
        },
    )
    auth = SigV4Auth(BotocoreCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", session), "lambda", "eu-central-1")
    request.context["timestamp"] = headers["x-amz-date"]
    assert re.fullmatch(r"\d{8}T\d{6}Z", headers["x-amz-date"])
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert headers["authorization"].rsplit("Signature=", 1)[1] == signature
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert signed == sorted(each for each in request.headers)
    assert (
        f"Credential=AKIDEXAMPLE/{headers['x-amz-date'][:8]}/eu-central-1/lambda/aws4_request"
        in headers["authorization"]
    )


def test_invoke_is_asked_on_its_own_path(server: Recorded) -> None:
    """POST /2015-03-31/functions/NAME/invocations, the event as the body."""
    endpoint = LambdaEndpoint(server.url, "us-east-1", Credentials("a", "b"))
    server.body = b'{"batchItemFailures":[]}'
    reply = LambdaTarget(endpoint, {"read_job": "ReadJob"}).send(_case({"Records": []}))
    assert reply == {"batchItemFailures": []}
    ((method, path, _headers, body),) = server.asked
    assert (method, path, body) == ("POST", "/2015-03-31/functions/ReadJob/invocations", b'{"Records": []}')


def test_a_functions_error_is_its_reply(server: Recorded) -> None:
    """X-Amz-Function-Error comes with status 200; the error's JSON is what was recorded."""
    server.headers, server.body = {"x-amz-function-error": "Unhandled"}, b'{"errorMessage":"no"}'
    endpoint = LambdaEndpoint(server.url, "us-east-1", Credentials("a", "b"))
    assert LambdaTarget(endpoint, {"read_job": "f"}).send(_case({})) == {"errorMessage": "no"}


@pytest.mark.parametrize(
    ("prelude", "body", "reply"),
    [
        (
            b'{"statusCode":404,"headers":{"content-type":"text/plain"}}',
            b"no\nsuch",
            {
                "statusCode": 404,
                "headers": {"content-type": "text/plain"},
                "body": "no\nsuch",
                "isBase64Encoded": False,
            },
        ),
        (
            b'{"statusCode":200,"headers":{},"cookies":["a=1"]}',
            b"\xff\x00",
            {"statusCode": 200, "headers": {}, "cookies": ["a=1"], "body": "/wA=", "isBase64Encoded": True},
        ),
        (b"", b"", {"statusCode": 200, "headers": {}, "body": "", "isBase64Encoded": False}),
    ],
)
def test_a_streamed_http_response_is_the_proxy_reply_that_it_stands_for(
    server: Recorded, prelude: bytes, body: bytes, reply: dict[str, Any]
) -> None:
    """Prelude, eight NUL bytes and body are compared as what the function replies where it cannot stream."""
    server.body = prelude + bytes(8) + body
    endpoint = LambdaEndpoint(server.url, "us-east-1", Credentials("a", "b"))
    assert LambdaTarget(endpoint, {"read_job": "f"}).send(_case({})) == reply


@pytest.mark.parametrize("prelude", [b"[1]", b"null"])
def test_a_broken_prelude_is_said(server: Recorded, prelude: bytes) -> None:
    """It names the function."""
    server.body = prelude + bytes(8)
    endpoint = LambdaEndpoint(server.url, "us-east-1", Credentials("a", "b"))
    with pytest.raises(Unreachable, match=r"of f is no"):
        LambdaTarget(endpoint, {"read_job": "f"}).send(_case({}))


def test_an_answer_of_the_api_itself_is_no_reply(server: Recorded) -> None:
    """403, 404, 429 and the like are Lambda's own words: the run cannot go on, and says why."""
    server.status, server.body = 404, b'{"Message":"Function not found"}'
    endpoint = LambdaEndpoint(server.url, "us-east-1", Credentials("a", "b"))
    with pytest.raises(Unreachable, match=r"Invoke of f answered 404: .*Function not found"):
        LambdaTarget(endpoint, {"read_job": "f"}).send(_case({}))


def test_lambda_takes_known_functions_and_token_cases_only_with_a_token() -> None:
    """A folder without a function is skipped, and so is a case that needs a token where there is none."""
    endpoint = LambdaEndpoint(NOBODY, "us-east-1", Credentials("a", "b"))
    needs = _case({"authorization": "{{token}}"})
    assert LambdaTarget(endpoint, {}).refusal(_case({})) == "ReadJob is not in this stack"
    assert LambdaTarget(endpoint, {"read_job": "f"}).refusal(needs) == NEEDS_TOKEN
    assert LambdaTarget(endpoint, {"read_job": "f"}, "t").refusal(needs) == ""


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    """The message has the address."""
    endpoint = LambdaEndpoint(NOBODY, "us-east-1", Credentials("a", "b"))
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
        LambdaTarget(endpoint, {"read_job": "f"}).send(_case({}))


# ---------------------------------------------------------------- HTTP


def _proxy(**members: Any) -> dict[str, Any]:
    return {"httpMethod": "GET", "path": "/jobs/a", "headers": {}, "requestContext": {}} | members


def test_a_proxy_event_becomes_its_request(server: Recorded) -> None:
    """Method, path (encoded again), every query value in order, headers and body as they were."""
    event = _proxy(
        httpMethod="POST",
        path="/jobs/a b/ü",
        headers={"Accept": "*/*", "Host": "api.example", "Content-Length": "99", "X-One": "1"},
        multiValueQueryStringParameters={"tag": ["a&b", "c"], "empty": [""]},
        body='{"prompt":"Zürich"}',
    )
    HttpTarget(f"{server.url}/v1/").send(_case(event))
    ((method, path, headers, body),) = server.asked
    assert (method, path) == ("POST", "/v1/jobs/a%20b/%C3%BC?tag=a%26b&tag=c&empty=")
    assert body == '{"prompt":"Zürich"}'.encode()
    assert (headers["accept"], headers["x-one"], headers["host"]) == ("*/*", "1", server.url.removeprefix("http://"))
    assert headers["content-length"] == str(len(body))
    assert "authorization" not in headers


def test_a_binary_body_is_sent_as_bytes(server: Recorded) -> None:
    """isBase64Encoded: the bytes go out, not their text."""
    event = _proxy(httpMethod="POST", body=base64.b64encode(b"\x00\xff").decode(), isBase64Encoded=True)
    HttpTarget(server.url).send(_case(event))
    assert server.asked[0][3] == b"\x00\xff"


def test_the_token_is_sent_and_its_caller_stands_for_the_recorded_one(server: Recorded) -> None:
    """Authorization is this run's; the job of the recorded caller becomes the job of the token's."""
    event = _proxy(
        path="/jobs/k.recorded.x",
        headers={"Authorization": "Bearer old"},
        requestContext={"authorizer": {"principalId": "recorded"}},
    )
    HttpTarget(server.url, TOKEN).send(_case(event))
    ((_method, path, headers, _body),) = server.asked
    assert path == f"/jobs/k.{caller_of(TOKEN)}.x"
    assert headers["authorization"] == f"Bearer {TOKEN}"


def test_the_reply_is_a_proxy_reply_with_the_recorded_headers(server: Recorded) -> None:
    """Status and body, and of the headers those that were recorded, in their spelling; a missing one is missing."""
    server.status, server.headers, server.body = (
        404,
        {"Content-Type": "application/problem+json", "X-Extra": "1"},
        b"{}",
    )
    recorded = {"statusCode": 404, "headers": {"content-type": "application/problem+json", "retry-after": "1"}}
    reply = HttpTarget(server.url).send(_case(_proxy(), recorded))
    assert reply == {
        "statusCode": 404,
        "headers": {"content-type": "application/problem+json"},
        "body": "{}",
        "isBase64Encoded": False,
    }
    assert "$.headers.retry-after: missing" in differences(recorded, reply)


@pytest.mark.parametrize("recorded", [NOT_RECORDED, None, {"headers": "{{any}}"}, {"headers": None}, [1], "text"])
def test_a_reply_recorded_in_any_form_is_no_trouble(server: Recorded, recorded: object) -> None:
    """Without recorded headers none is kept; bytes that are no text come back encoded."""
    server.body = b"\xff"
    reply = HttpTarget(server.url).send(_case(_proxy(), recorded))
    assert reply == {"statusCode": 200, "headers": {}, "body": "/w==", "isBase64Encoded": True}


@pytest.mark.parametrize(
    ("event", "token", "refusal"),
    [
        (_proxy(), "", ""),
        (_proxy(requestContext={"authorizer": {"principalId": "p"}}), "", NEEDS_TOKEN),
        (_proxy(requestContext={"authorizer": {"principalId": "p"}}), TOKEN, ""),
        ({"type": "REQUEST", "httpMethod": "GET", "path": "/"}, TOKEN, "no HTTP request alone makes it"),
        (
            {"type": "REQUEST", "version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "GET"}}},
            TOKEN,
            "no HTTP request alone makes it",
        ),
        ({"Records": []}, TOKEN, "no HTTP request alone makes it"),
        (_proxy(headers={"Authorization": "Bearer {{token}}"}), "", NEEDS_TOKEN),
        (_proxy(headers={"Authorization": "Bearer {{token}}"}), TOKEN, ""),
    ],
)
def test_http_takes_proxy_events_and_those_behind_an_authorizer_with_a_token(
    event: dict[str, Any], token: str, refusal: str
) -> None:
    """Authorizer events and queue batches have no request to be made from."""
    assert HttpTarget(NOBODY, token).refusal(_case(event)) == refusal


def _url_event(**headers: str) -> dict[str, Any]:
    http = {"method": "POST", "path": "/answers"}
    context = {"domainName": "abc.lambda-url.us-east-1.on.aws", "http": http}
    text = {"rawPath": "/answers", "rawQueryString": "a=%26&b", "body": "text"}
    return {"version": "2.0", "headers": headers, "requestContext": context, **text}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer {{token}}"}])
def test_an_event_of_a_function_url_becomes_its_request(server: Recorded, headers: dict[str, str]) -> None:
    """Payload 2.0; the token is sent where the recorded request had one, and only there."""
    HttpTarget(f"{server.url}/lambda-url/abc/", TOKEN).send(_case(_url_event(accept="*/*", **headers)))
    ((method, path, sent, body),) = server.asked
    assert (method, path, body) == ("POST", "/lambda-url/abc/answers?a=%26&b", b"text")
    assert sent.get("authorization") == (f"Bearer {TOKEN}" if headers else None)


def test_a_function_urls_own_cors_headers_are_not_the_functions(server: Recorded) -> None:
    """They are left out of what is expected; what the function itself says is not."""
    reply = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "x", "etag": "y"}, "body": "{}"}
    target, case = HttpTarget(f"{server.url}/lambda-url/abc/"), _case(_url_event(), reply)
    assert target.recorded(case) == {**reply, "headers": {"etag": "y"}}
    assert HttpTarget(NOBODY).recorded(_case(_proxy(), reply)) == reply
    server.headers = {"etag": "y"}
    assert target.send(case) == {**reply, "headers": {"etag": "y"}, "isBase64Encoded": False}


@pytest.mark.parametrize(
    ("url", "event", "refusal"),
    [
        ("https://abc.lambda-url.us-east-1.on.aws/", _url_event(), ""),
        ("http://127.0.0.1:4601/lambda-url/abc/", _url_event(), ""),
        ("http://127.0.0.1:4601/lambda-url/abc/", _proxy(), "it came through an API"),
        ("https://api.execute-api.us-east-1.amazonaws.com/v1", _url_event(), "it came through a Function URL"),
    ],
)
def test_an_event_goes_to_the_kind_of_endpoint_that_it_came_through(
    url: str, event: dict[str, Any], refusal: str
) -> None:
    """An API puts its authorizer and its own answers in front of a function; a Function URL does not."""
    assert HttpTarget(url).refusal(_case(event)) == refusal


def test_the_caller_is_the_authorizers_principal() -> None:
    """22 characters of issuer and subject, as the authorizer derives them; the signature is not looked at."""
    assert caller_of(TOKEN) == name_caller("https://issuer.example", "developer")
    assert caller_of("") == ""


@pytest.mark.parametrize("token", ["x", "a.b", "a.!.c", "e30.e30.x", _token({"iss": "i"}), "e30.WzFd.x"])
def test_text_that_is_no_token_is_called_that(token: str) -> None:
    """No dots, no base64, no JSON, no claims, a list for claims: one sentence, no traceback."""
    with pytest.raises(ValueError, match="the token is no JSON Web Token with an issuer and a subject"):
        caller_of(token)


# ---------------------------------------------------------------- WebSocket


async def test_a_recorded_message_goes_out_and_the_last_frame_back_is_the_reply() -> None:
    """The event's body with this run's token in it; the bearer token in the handshake; frames to the answer's end."""
    asked: list[tuple[str | None, str]] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked.append((request.headers.get("Authorization"), await socket.receive_str()))
        for kind in ("ping", "delta", "reset", "delta", "final", "delta"):
            await socket.send_json({"v": 1, "t": kind})
        await socket.receive()
        return socket

    event = {"requestContext": {"eventType": "MESSAGE"}, "body": '{"action":"ask","token":"{{token}}"}'}
    async with _listening(answer) as url:
        target = WebSocketTarget(url, "t", timeout_s=10)
        assert await asyncio.to_thread(target.send, _case(event)) == {"v": 1, "t": "final"}
    assert asked == [("Bearer t", '{"action":"ask","token":"t"}')]


@pytest.mark.parametrize("said", ['["pong"]', "7", '{"route":"echo"}', '{"t":"error"}'])
async def test_what_is_no_frame_is_a_reply_at_once(said: str) -> None:
    """Another application's messages, and an error, are followed by nothing."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive_str()
        await socket.send_str(said)
        await socket.receive()
        return socket

    event = {"requestContext": {"eventType": "MESSAGE"}, "body": "{}"}
    async with _listening(answer) as url:
        assert await asyncio.to_thread(WebSocketTarget(url, timeout_s=10).send, _case(event)) == json.loads(said)


@asynccontextmanager
async def _listening(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_a_websocket_is_held_to_the_recorded_frame() -> None:
    """The function's own reply goes to the gateway and is not seen here."""
    target = WebSocketTarget("ws://127.0.0.1:1")
    assert target.recorded(_case({}, {"statusCode": 200}, frame={"t": "final"})) == {"t": "final"}
    assert target.recorded(_case({}, {"statusCode": 200})) is NOT_RECORDED


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        ({"requestContext": {"eventType": "MESSAGE"}, "body": "{}"}, True),
        ({"requestContext": {"eventType": "CONNECT"}}, False),
        ({"requestContext": {"eventType": "MESSAGE"}}, False),
        ({"requestContext": None, "body": "{}"}, False),
        ({}, False),
    ],
)
def test_websocket_takes_messages_alone(event: dict[str, Any], taken: bool) -> None:
    """$connect and $disconnect carry no message to send."""
    assert (WebSocketTarget("ws://127.0.0.1:1").refusal(_case(event)) == "") is taken


def test_a_websocket_that_does_not_answer_is_named() -> None:
    """The message has the address."""
    event = {"requestContext": {"eventType": "MESSAGE"}, "body": "{}"}
    with pytest.raises(Unreachable, match=r"ws://127\.0\.0\.1:1 does not answer"):
        WebSocketTarget("ws://127.0.0.1:1").send(_case(event))
