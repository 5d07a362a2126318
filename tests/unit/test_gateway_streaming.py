"""REST integrations that stream: the prelude, the limits on time and speed, and what each failure becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.policies import FunctionPolicies, Grant
from localcloud.gateway.backends import LambdaFunctions
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.message import HttpResponse, StreamCutError
from localcloud.gateway.rest import RestStage
from localcloud.gateway.streaming import IDLE_S, MAX_PRELUDE_BYTES
from tests.unit.gateway_setup import REGION, ask, make_stage
from tests.unit.streaming_setup import ARN, Handler, Writer, functions_of

STREAMING_URI = f"arn:aws:apigateway:{REGION}:lambda:path/2021-11-15/functions/{ARN}/response-streaming-invocations"
BUFFERED_URI = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{ARN}/invocations"
HEAD = json.dumps({"statusCode": 201, "headers": {"Content-Type": "text/event-stream"}}).encode() + bytes(8)


def operation(**changes: Any) -> dict[str, Any]:
    integration = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": STREAMING_URI,
        "responseTransferMode": "STREAM",
        "timeoutInMillis": 900_000,
    }
    return {"x-amazon-apigateway-integration": integration | changes}


@dataclass(frozen=True)
class Api:
    stage: RestStage

    async def get(self) -> HttpResponse:
        return await ask(self.stage, "GET", "/s")


@asynccontextmanager
async def api_of(handler: Handler, *, permitted: bool = True, **changes: Any) -> AsyncGenerator[Api]:
    """`GET /s` leads to a function that runs `handler`."""
    policies = FunctionPolicies()
    if permitted:
        policies.add(ARN, Grant("s", "lambda:InvokeFunction", "apigateway.amazonaws.com"))

    def may_invoke(function_arn: str, *, principal: str, source_arn: str) -> bool:
        return policies.allows(function_arn, service=principal, source_arn=source_arn)

    async with functions_of(handler) as functions:
        clock = LoopClock(asyncio.get_running_loop())
        backend: Any = LambdaFunctions(functions, may_invoke)
        yield Api(make_stage({"/s": {"get": operation(**changes)}}, functions=backend, clock=clock))


async def read(response: HttpResponse) -> bytes:
    assert response.stream is not None
    try:
        return b"".join([chunk async for chunk in response.stream])
    finally:
        await response.stream.aclose()


def writes(*parts: bytes, gap_s: float = 0.0, error_type: str = "") -> Handler:
    """A function that writes `parts`, `gap_s` apart."""

    async def answer(request: Request) -> Outcome:
        writer = Writer(request, "application/octet-stream")
        for part in parts:
            await writer.write(part)
            await asyncio.sleep(gap_s)
        return writer.end(error_type)

    return answer


def test_the_answer_begins_with_the_prelude_and_goes_on_as_the_function_writes() -> None:
    """Status and headers are out before the body; every chunk comes when it is written."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with api_of(writes(HEAD + b"one", b"two", b"three", gap_s=1)) as api:
            response = await api.get()
            assert (response.status, response.header("content-type"), loop.time()) == (201, "text/event-stream", 0)
            assert response.header("x-amzn-requestid")
            assert response.stream is not None
            seen = [(chunk, loop.time()) async for chunk in response.stream]
            assert seen == [(b"one", 0), (b"two", 1), (b"three", 2)]

    run_virtual(main)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_prelude_may_come_in_pieces_of_any_size(size: int) -> None:
    """Also cut inside the delimiter; NULs of the body stay."""
    whole = HEAD + b"body\x00\x00" + bytes(9)

    async def main() -> None:
        parts = [whole[at : at + size] for at in range(0, len(whole), size)]
        async with api_of(writes(*parts)) as api:
            response = await api.get()
            assert (response.status, await read(response)) == (201, b"body\x00\x00" + bytes(9))

    run_virtual(main)


def test_the_prelude_gives_headers_of_every_kind() -> None:
    """Single, multi-value and cookies; JSON is the default type, 200 the default status, what hops is renamed."""
    prelude = {
        "headers": {"A": "1", "Content-Length": "3"},
        "multiValueHeaders": {"B": ["2", "3"]},
        "cookies": ["c=4", "d=5"],
    }

    async def main() -> None:
        async with api_of(writes(json.dumps(prelude).encode() + bytes(8))) as api:
            response = await api.get()
            found = [(name, value) for name, value in response.headers if not name.lower().startswith("x-am")]
            assert response.status == 200
            assert found == [
                ("A", "1"),
                ("B", "2"),
                ("B", "3"),
                ("Set-Cookie", "c=4"),
                ("Set-Cookie", "d=5"),
                ("Content-Type", "application/json"),
            ]
            assert response.header("x-amzn-Remapped-Content-Length") == "3"
            assert await read(response) == b""

    run_virtual(main)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"statusCode":200}', id="no delimiter"),
        pytest.param(b"no json" + bytes(8), id="no JSON"),
        pytest.param(b"[]" + bytes(8), id="no object"),
        pytest.param(b'{"statusCode":"many"}' + bytes(8), id="no status"),
        pytest.param(b'{"statusCode":103}' + bytes(8), id="no final status"),
        pytest.param(b'{"body":"x"}' + bytes(8), id="a body in the metadata"),
        pytest.param(b'{"headers":{"a":"b\\nc"}}' + bytes(8), id="a header of two lines"),
        pytest.param(b'{"cookies":"a=b"}' + bytes(8), id="cookies that are no list"),
        pytest.param(b" " * MAX_PRELUDE_BYTES + HEAD, id="a delimiter after 16 KB"),
    ],
)
def test_what_has_no_valid_prelude_is_a_502(written: bytes) -> None:
    """API Gateway's own words, before anything was sent."""

    async def main() -> None:
        async with api_of(writes(written)) as api:
            response = await api.get()
            assert (response.status, response.stream) == (502, None)
            assert json.loads(response.body) == {"message": "Internal server error"}

    run_virtual(main)


def test_a_header_name_that_is_none_is_a_configuration_error() -> None:
    """As with buffered answers: 500, and the function is left to end alone."""

    async def main() -> None:
        async with api_of(writes(b'{"headers":{"a b":"c"}}' + bytes(8), b"x" * 200_000)) as api:
            assert (await api.get()).status == 500

    run_virtual(main)


def test_a_buffered_response_or_an_error_is_a_502() -> None:
    """A function that does not stream has no delimiter; one that failed has nothing."""

    async def buffered(request: Request) -> Outcome:
        return Outcome(b'{"statusCode":200,"body":"x"}', content_type="application/json")

    async def failed(request: Request) -> Outcome:
        return Outcome(b'{"errorType":"KeyError"}', "KeyError")

    async def main() -> None:
        for handler in (buffered, failed):
            async with api_of(handler) as api:
                assert (await api.get()).status == 502

    run_virtual(main)


def test_an_error_midway_cuts_the_answer() -> None:
    """What was written before is sent; the end is not."""

    async def main() -> None:
        async with api_of(writes(HEAD + b"half", error_type="KeyError")) as api:
            response = await api.get()
            assert response.stream is not None
            chunks = aiter(response.stream)
            assert await anext(chunks) == b"half"
            with pytest.raises(StreamCutError, match="KeyError"):
                await anext(chunks)

    run_virtual(main)


def test_five_idle_minutes_end_it() -> None:
    """Before the prelude as a 504, after it by a cut; 299 seconds are fine."""

    async def late(request: Request) -> Outcome:
        await asyncio.sleep(IDLE_S + 1)
        return Outcome(b"1")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with api_of(late) as api:
            response = await api.get()
            assert (response.status, loop.time()) == (504, IDLE_S)
        async with api_of(writes(HEAD + b"a", b"b", gap_s=IDLE_S - 1)) as api:
            assert await read(await api.get()) == b"ab"
        async with api_of(writes(HEAD + b"a", b"b", gap_s=IDLE_S + 1)) as api:
            response = await api.get()
            with pytest.raises(StreamCutError, match="too long"):
                await read(response)

    run_virtual(main)


def test_the_integrations_timeout_bounds_the_whole_answer() -> None:
    """However busy the stream is."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with api_of(writes(HEAD, *([b"x"] * 100), gap_s=1), timeoutInMillis=10_000) as api:
            began = loop.time()
            response = await api.get()
            with pytest.raises(StreamCutError, match="too long"):
                await read(response)
            assert loop.time() - began == pytest.approx(10)

    run_virtual(main)


def test_ten_megabytes_are_fast_and_the_rest_is_two_a_second() -> None:
    """Lambda's own cap, after 6 MB, is the tighter one: 16 MB take five seconds."""
    megabyte = 1024 * 1024

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with api_of(writes(HEAD, *([bytes(65536)] * 256))) as api:
            assert len(await read(await api.get())) == 16 * megabyte
            assert loop.time() == pytest.approx(5, abs=0.1)

    run_virtual(main)


def test_a_client_that_leaves_does_not_stop_the_function() -> None:
    """Lambda may continue after the connection is closed: it runs to its end."""
    ended: list[float] = []

    async def answer(request: Request) -> Outcome:
        writer = Writer(request)
        for _ in range(20):
            await writer.write(HEAD + bytes(100_000))
            await asyncio.sleep(1)
        ended.append(asyncio.get_running_loop().time())
        return writer.end()

    async def main() -> None:
        async with api_of(answer) as api:
            response = await api.get()
            assert response.stream is not None
            await response.stream.aclose()
            await asyncio.sleep(30)
            assert ended == [20]

    run_virtual(main)


def test_without_permission_the_function_is_not_called() -> None:
    """500 with API Gateway's words."""

    async def main() -> None:
        async with api_of(writes(HEAD), permitted=False) as api:
            assert (await api.get()).status == 500

    run_virtual(main)


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": BUFFERED_URI},
        {"responseTransferMode": "BUFFERED"},
        {"responseTransferMode": "RESPONSE_STREAM"},
        {"timeoutInMillis": 900_001},
        {"type": "mock", "uri": ""},
    ],
)
def test_a_definition_that_does_not_fit_together_is_refused(changes: dict[str, Any]) -> None:
    """Mode and URI belong together; 15 minutes at most; proxy integrations only."""
    with pytest.raises(DefinitionError):
        make_stage({"/s": {"get": operation(**changes)}})
