"""AWS requests passed on to another process: whole, streamed, refused, and broken off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest

from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.regions.forward import FROM_HEADER, open_forwarder
from localcloud.regions.joined import Beyond, SharedService
from localcloud.services.contract import NoAnswer, Permission, WireRequest, WireResponse

KEY = "AWS4-HMAC-SHA256 Credential=key/20261128/us-west-2/sqs/aws4_request, SignedHeaders=host, Signature=0"


class Far:
    """The service at the other end; what it was asked, and what it answers."""

    name = "sqs"

    def __init__(self, answer: Callable[[], Awaitable[WireResponse]]) -> None:
        self.asked: list[WireRequest] = []
        self._answer = answer

    async def handle(self, request: WireRequest) -> WireResponse:
        self.asked.append(request)
        return await self._answer()

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        del request
        return ()


@asynccontextmanager
async def far(answer: Callable[[], Awaitable[WireResponse]]) -> AsyncGenerator[tuple[Far, str]]:
    """A front with the service, and its address."""
    service = Far(answer)
    front = Front([service], authorise=lambda _key, _needs: None, rng=random.Random(1))
    with closing(open_listener()) as listener:
        async with front.serve(listener) as address:
            yield service, address


def asked(**changes: object) -> WireRequest:
    headers = {"authorization": KEY, "x-amz-target": "AmazonSQS.SendMessage", "content-length": "9", "host": "x"}
    members: dict[str, object] = {
        "service": "sqs", "region": "us-west-2", "method": "POST", "path": "/a%2Fb", "query": "c=%20d",
        "headers": headers, "body": b'{"a":"b"}', "access_key": "key", "request_id": "id",
    }  # fmt: skip
    return WireRequest(**(members | changes))  # pyright: ignore[reportArgumentType] - made of keywords


async def test_a_request_arrives_as_it_was_sent() -> None:
    """Path and query still encoded, the signature, the body, and the Region that it came through."""

    async def answer() -> WireResponse:
        return WireResponse(418, b"tea", {"x-amzn-requestid": "theirs", "content-type": "text/plain"})

    async with far(answer) as (service, address), open_forwarder("us-east-1") as forwarder:
        beyond = Beyond(forwarder, address, "us-east-1")
        response = await beyond.handle(asked())
    assert (response.status, response.body, response.headers["x-amzn-requestid"]) == (418, b"tea", "theirs")
    (request,) = service.asked
    assert (request.path, request.query, request.body) == ("/a%2Fb", "c=%20d", b'{"a":"b"}')
    assert (request.region, request.access_key, request.headers[FROM_HEADER]) == ("us-west-2", "key", "us-east-1")
    assert (beyond.takes(asked()), beyond.takes(asked(region="us-east-1"))) == (True, False)


async def test_an_answer_that_streams_is_passed_on_as_it_comes() -> None:
    """The first chunk is here before the second one is made."""
    more = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        await more.wait()
        yield b"two"

    async def answer() -> WireResponse:
        return WireResponse(200, chunks())

    async with far(answer) as (_, address), open_forwarder("") as forwarder:
        response = await forwarder.send(address, asked())
        assert not isinstance(response.body, bytes)
        read = [await anext(response.body)]
        more.set()
        read += [chunk async for chunk in response.body]
    assert read == [b"one", b"two"]


async def test_no_answer_is_one_at_every_front_on_the_way() -> None:
    """A Region that says nothing ends the caller's connection, and is no 500."""

    async def answer() -> WireResponse:
        raise NoAnswer("us-west-2 gave no answer")

    async with far(answer) as (_, address), open_forwarder("") as forwarder:
        with pytest.raises(NoAnswer):
            await forwarder.send(address, asked())


async def test_nobody_listening_is_no_answer() -> None:
    """As when a Region's process is gone."""
    with closing(open_listener()) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with open_forwarder("") as forwarder:
        with pytest.raises(NoAnswer):
            await forwarder.send(address, asked())


async def test_iam_is_asked_before_a_request_leaves_its_region() -> None:
    """For a service that all share, and for one of another Region, as the front has it itself."""

    async def answer() -> WireResponse:
        return WireResponse(200, b"{}")

    needs: list[tuple[Permission, ...]] = []
    async with far(answer) as (service, address), open_forwarder("us-east-1") as forwarder:
        beyond = Beyond(forwarder, address, "us-east-1")
        shared = SharedService("sqs", lambda request: (Permission("sqs:SendMessage", request.region),), beyond)
        front = Front(
            [shared], authorise=lambda _key, asked: needs.append(asked), rng=random.Random(1), elsewhere=beyond
        )
        for region in ("us-east-1", "us-west-2"):
            assert (await front.dispatch(asked(region=region))).status == 200
        assert (await front.dispatch(asked(service="unheard-of"))).status == 200
    assert needs == [(Permission("sqs:SendMessage", region),) for region in ("us-east-1", "us-west-2")]
    assert len(service.asked) == 3
