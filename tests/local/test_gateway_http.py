"""The gateway's HTTP front over real sockets: the repository's API, an HTTP client and raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from localcloud.gateway.server import GatewayServer
from tests.unit.gateway_setup import FakeFunctions, JobsApi, deploy_jobs_api

pytestmark = pytest.mark.local

HEADERS = {"Authorization": "Bearer t", "Content-Type": "application/json"}


@dataclass
class Front:
    """A listening gateway."""

    api: JobsApi
    port: int

    @property
    def url(self) -> str:
        """The stage's address."""
        return f"http://127.0.0.1:{self.port}/{self.api.api_id}/v1"

    @property
    def functions(self) -> FakeFunctions:
        """What its functions saw."""
        return self.api.functions


@contextlib.asynccontextmanager
async def _listening() -> AsyncIterator[Front]:
    api = await deploy_jobs_api()
    server = GatewayServer(api.gateway)
    port = await server.start(0)
    try:
        yield Front(api, port)
    finally:
        await server.stop()


async def _raw(front: Front, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(data)
    await writer.drain()
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def _get(front: Front, path: str, *, extra: str = "", host: str = "127.0.0.1") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{extra}\r\n".encode()


async def test_post_and_get_with_a_client() -> None:
    """202 with the body in the queue; the function's answer for the job."""
    async with _listening() as front, aiohttp.ClientSession() as client:
        body = json.dumps({"prompt": "é & 😀 + %"}, ensure_ascii=False).encode()
        async with client.post(f"{front.url}/jobs", data=body, headers=HEADERS) as response:
            accepted = await response.json()
            assert response.status == 202
            assert "x-amzn-RequestId" in response.headers
            assert "x-amz-apigw-id" in response.headers
        (message,) = await front.api.queue.receive(10, wait_s=0, visibility_s=30)
        assert message.body.encode() == body
        async with client.get(f"{front.url}/{accepted['status_url']}", headers=HEADERS) as response:
            assert (response.status, await response.text()) == (200, "{}")
        assert front.functions.events[-1][1]["pathParameters"] == {"job_id": accepted["job_id"]}


async def test_the_standard_librarys_client_sees_the_same() -> None:
    """Another client, another way of sending."""
    async with _listening() as front:

        def call() -> tuple[int, bytes, str | None]:
            connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
            connection.request("POST", f"/{front.api.api_id}/v1/jobs", body=b'{"prompt":"x"}', headers=HEADERS)
            response = connection.getresponse()
            read = response.read()
            connection.close()
            return response.status, read, response.getheader("Location")

        status, body, location = await asyncio.to_thread(call)
        assert (status, location) == (202, json.loads(body)["status_url"])


async def test_the_aws_host_name_leads_to_the_api() -> None:
    """`<api>.execute-api.<region>.amazonaws.com/<stage>/...`, as on AWS."""
    async with _listening() as front:
        host = f"{front.api.api_id}.execute-api.eu-central-1.amazonaws.com"
        answer = await _raw(front, _get(front, "/v1/jobs/x", extra="Authorization: t\r\n", host=host))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert front.functions.events[-1][1]["path"] == "/jobs/x"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", b"403"),
        ("/nothere/v1/jobs", b"403"),
        ("/{api}/v9/jobs", b"403"),
        ("/{api}", b"403"),
        ("/{api}/v1", b"404"),
    ],
)
async def test_what_is_not_deployed_is_refused(path: str, status: bytes) -> None:
    """An unknown API or stage is 403; an unknown route of a stage is the API's own answer."""
    async with _listening() as front:
        answer = await _raw(front, _get(front, path.format(api=front.api.api_id)))
        assert answer.split(b" ")[1] == status


async def test_header_case_repetition_and_encoding_survive() -> None:
    """The event has names as sent, every value, and UTF-8 text."""
    async with _listening() as front:
        extra = "aUTHORIZATION: t\r\nX-Two: 1\r\nx-two: 2\r\nX-Text: é\r\n"
        await _raw(front, _get(front, f"/{front.api.api_id}/v1/jobs/x?a=1&a=%C3%A9", extra=extra))
        event = front.functions.events[-1][1]
        assert event["multiValueHeaders"]["X-Two"] == ["1", "2"]
        assert event["headers"]["aUTHORIZATION"] == "t"
        assert event["headers"]["X-Text"] == "é"
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "é"]}


async def test_the_path_is_not_normalised() -> None:
    """Encoded slashes and dots stay what the client wrote."""
    async with _listening() as front:
        await _raw(front, _get(front, f"/{front.api.api_id}/v1/jobs/a%2F..%2Fb", extra="Authorization: t\r\n"))
        event = front.functions.events[-1][1]
        assert event["pathParameters"] == {"job_id": "a/../b"}
        assert event["path"] == "/jobs/a%2F..%2Fb"


async def test_a_chunked_body_and_expect_continue() -> None:
    """The front asks for the body, reads its chunks, and answers once."""
    async with _listening() as front:
        head = (
            f"POST /{front.api.api_id}/v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: t\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        ).encode()
        answer = await _raw(front, head + b'5\r\n{"pro\r\n9\r\nmpt":"x"}\r\n0\r\n\r\n')
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")
        (message,) = await front.api.queue.receive(10, wait_s=0, visibility_s=30)
        assert message.body == '{"prompt":"x"}'


async def test_a_compressed_body_is_unpacked() -> None:
    """The queue gets what was packed; a body that is not of its coding is 415."""
    async with _listening() as front, aiohttp.ClientSession() as client:
        headers = {**HEADERS, "Content-Encoding": "gzip"}
        packed = gzip.compress(b'{"prompt":"x"}')
        async with client.post(f"{front.url}/jobs", data=packed, headers=headers, compress=None) as response:
            assert response.status == 202
        (message,) = await front.api.queue.receive(10, wait_s=0, visibility_s=30)
        assert message.body == '{"prompt":"x"}'
        async with client.post(f"{front.url}/jobs", data=b"{}", headers=headers, compress=None) as response:
            assert response.status == 415


async def test_bodies_to_10_mb_are_read_and_larger_ones_refused() -> None:
    """413 with the API's own problem, and the connection closes."""
    async with _listening() as front, aiohttp.ClientSession() as client:
        for size, status in ((10 * 1024 * 1024, 400), (10 * 1024 * 1024 + 1, 413)):
            with contextlib.suppress(aiohttp.ClientOSError):
                async with client.post(f"{front.url}/jobs", data=io.BytesIO(b"x" * size), headers=HEADERS) as response:
                    assert response.status == status
        assert front.api.requests == []


async def test_headers_above_10_kb_are_431() -> None:
    """10,240 bytes of request line and header values are the most."""
    async with _listening() as front:
        path = f"/{front.api.api_id}/v1/jobs/x"
        fits = await _raw(front, _get(front, path, extra="Authorization: t\r\nX-A: " + "a" * 9_000 + "\r\n"))
        over = await _raw(front, _get(front, path, extra="Authorization: t\r\nX-A: " + "a" * 10_241 + "\r\n"))
        assert fits.startswith(b"HTTP/1.1 200 ")
        assert over.startswith(b"HTTP/1.1 431 ")


async def test_bytes_that_are_no_http_are_refused() -> None:
    """The connection ends with 400, and the next one is served."""
    async with _listening() as front:
        assert (await _raw(front, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.0 400")
        assert (await _raw(front, _get(front, "/"))).startswith(b"HTTP/1.1 403")


async def test_connections_are_kept() -> None:
    """Two requests on one connection."""
    async with _listening() as front:
        path = f"/{front.api.api_id}/v1/jobs/x"
        keep = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: t\r\n\r\n".encode()
        answer = await _raw(front, keep + _get(front, path, extra="Authorization: t\r\n"))
        assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_head_has_no_body_and_options_needs_no_token() -> None:
    """HEAD is no method of the API; its answer has headers only."""
    async with _listening() as front, aiohttp.ClientSession() as client:
        async with client.head(f"{front.url}/jobs/x", headers=HEADERS) as response:
            assert (response.status, await response.read()) == (404, b"")
        async with client.options(f"{front.url}/jobs") as response:
            assert (response.status, await response.text()) == (200, "{}\n")


async def test_a_hundred_requests_at_once() -> None:
    """Every one gets its own answer."""
    async with _listening() as front, aiohttp.ClientSession() as client:

        async def one(number: int) -> str:
            headers = {**HEADERS, "Idempotency-Key": f"k{number}"}
            async with client.post(f"{front.url}/jobs", data=b'{"prompt":"x"}', headers=headers) as response:
                assert response.status == 202
                return (await response.json())["job_id"]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(100)]
        assert len({task.result() for task in tasks}) == 100


async def test_a_taken_port_is_an_error_at_once() -> None:
    """And stop() is safe to call again."""
    async with _listening() as front:
        other = GatewayServer(front.api.gateway)
        with pytest.raises(OSError, match="in use"):
            await other.start(front.port)
        await other.stop()
