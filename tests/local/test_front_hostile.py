"""The AWS port and the HTTP front against requests meant to break them, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from localcloud.front import Front
from localcloud.gateway.server import GatewayServer
from localcloud.listening import open_listener
from localcloud.services.contract import Permission, WireRequest, WireResponse
from tests.unit.gateway_setup import deploy_jobs_api

pytestmark = pytest.mark.local
SIGNED = "AWS4-HMAC-SHA256 Credential=AK/20261123/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=0"
IN_QUERY = "X-Amz-Credential=AK/20261123/eu-west-1/lambda/aws4_request"


@dataclass
class Echo:
    """A service that remembers what it was asked."""

    name: str = "lambda"
    seen: list[WireRequest] = field(default_factory=list)

    async def handle(self, request: WireRequest) -> WireResponse:
        self.seen.append(request)
        return WireResponse(200, b"{}")

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        del request
        return ()


@dataclass
class Listening:
    """A front that listens."""

    port: int
    echo: Echo


@pytest.fixture
async def front() -> AsyncIterator[Listening]:
    """The AWS port with one service."""
    echo = Echo()
    made = Front([echo], authorise=lambda _key, _needs: None, rng=random.Random(1))
    async with made.serve(open_listener()) as url:
        yield Listening(int(url.rpartition(":")[2]), echo)


async def _raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def _post(target: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    head = [f"POST {target} HTTP/1.1", f"Host: {host}", "Connection: close", "Content-Length: 2", *lines]
    return "\r\n".join([*head, "", "{}"]).encode("latin-1")


@pytest.mark.parametrize(
    "request_bytes",
    [
        _post(f"/invoke?{IN_QUERY}", "Content-Type: text/plain", "Origin: https://evil.example"),
        _post(f"/invoke?{IN_QUERY}", "Content-Type: text/plain", "Sec-Fetch-Site: cross-site"),
        _post("/invoke", f"Authorization: {SIGNED}", host="evil.example"),
    ],
    ids=["form of another site", "request without an origin", "rebound name"],
)
async def test_another_sites_page_reaches_no_service(front: Listening, request_bytes: bytes) -> None:
    """A page cannot invoke a function here with credentials in the query, nor read answers under its own name."""
    answer = await _raw(front.port, request_bytes)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert front.echo.seen == []


async def test_a_credential_that_is_no_utf_8_is_refused_in_words(front: Listening) -> None:
    """Bytes that are no text do not break the refusal that quotes them."""
    credential = "Authorization: AWS4-HMAC-SHA256 Credential=\xff/2/\xff/\xff/aws4_request"
    answer = await _raw(front.port, _post("/", credential))
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert "signing name '\ufffd'".encode() in answer


@pytest.mark.parametrize(
    ("target", "path"),
    [("//key", "//key"), ("//[", "//["), ("/a?b#c", "/a"), ("http://127.0.0.1:1/x", "/x")],
)
async def test_any_target_has_a_path(front: Listening, target: str, path: str) -> None:
    """Two slashes begin a path, never a host; an absolute address has a path as well."""
    answer = await _raw(front.port, _post(target, f"Authorization: {SIGNED}"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert front.echo.seen[-1].path == path


async def test_a_malformed_request_is_logged_without_what_it_holds(
    front: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    """A line that cannot be parsed may be a bearer token: the log says that it came, and not what it was."""
    gateway = GatewayServer((await deploy_jobs_api()).gateway)
    port = await gateway.start()
    try:
        with caplog.at_level(logging.DEBUG):
            for each in (front.port, port):
                answer = await _raw(each, b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\x00\r\n\r\n")
                assert answer.startswith(b"HTTP/1.0 400 ")
    finally:
        await gateway.stop()
    assert caplog.text.count("http.malformed_request status=400") == 2
    assert "secret" not in caplog.text


async def test_a_client_that_leaves_inside_its_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is told to nobody, and the front goes on."""
    api = await deploy_jobs_api()
    gateway = GatewayServer(api.gateway)
    port = await gateway.start()
    try:
        with caplog.at_level(logging.DEBUG):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_post("/x").replace(b"Content-Length: 2", b"Content-Length: 200"))
            writer.close()
            answer = await _raw(port, _post(f"/{api.api_id}/v1/jobs", "Authorization: t"))
    finally:
        await gateway.stop()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_idempotency_keys_in_any_encoding_name_jobs_of_their_own() -> None:
    """A key in UTF-8 is that text, bytes that are no UTF-8 are Latin-1: no two are one by being unreadable."""
    api = await deploy_jobs_api()
    gateway = GatewayServer(api.gateway)
    port = await gateway.start()
    body = b'{"prompt":"a"}'
    try:
        made: list[str] = []
        for key in (b"\xe9", b"\xe8", b"\xe9\xff", "\u00e9\u0142".encode(), b"\xed\xa0\x80"):
            lines = ("Authorization: t", "Content-Type: application/json", "Idempotency-Key: " + key.decode("latin-1"))
            head = _post(f"/{api.api_id}/v1/jobs", *lines).replace(b"Length: 2\r", b"Length: %d\r" % len(body))
            answer = await _raw(port, head[:-2] + body)
            assert answer.startswith(b"HTTP/1.1 202 "), answer
            made.append(json.loads(answer.partition(b"\r\n\r\n")[2])["job_id"])
    finally:
        await gateway.stop()
    keys = [_key_in(job_id) for job_id in made]
    assert keys == ["\u00e9", "\u00e8", "\u00e9\u00ff", "\u00e9\u0142", "\u00ed\u00a0\u0080"]


def _key_in(job_id: str) -> str:
    text = job_id.rpartition(".")[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


async def test_a_service_that_is_none_writes_one_short_line_in_the_log(
    front: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    """A name may hold line ends where it stands in the query, and as much as a request line takes."""
    name = "x%0AWARNING%20forged" + "y" * 4000
    answer = await _raw(front.port, _post(f"/?X-Amz-Credential=AK/2/us-east-1/{name}/aws4_request"))
    assert answer.startswith(b"HTTP/1.1 501 ")
    lines = [line for line in caplog.text.splitlines() if "front.unknown_service" in line or "forged" in line]
    assert len(lines) == 1
    assert len(lines[0]) < 200
