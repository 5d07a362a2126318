"""A boto3 client of AppSync whose requests are answered in this process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config

from localcloud.clock import SystemClock
from localcloud.services.appsync.model import EventApis
from localcloud.services.appsync.wire import AppSyncService
from localcloud.services.contract import WireRequest, WireResponse

REGION = "eu-west-1"


class _Raw:
    """The body of an answer, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """All of it."""
        yield self._body


@cache
def make_client(**more: Any) -> Any:
    """A client that sends what it is given, right or wrong, once; one for all, for it is slow to make."""
    return boto3.client(
        "appsync",
        region_name=REGION,
        aws_access_key_id="AK",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        **more,
    )


async def _publish_nothing(_: WireRequest) -> WireResponse | None:
    return None


class ServiceClient:
    """`client` calls a service of its own."""

    def __init__(self) -> None:
        self.reset()
        self.client = make_client(endpoint_url="http://ours.invalid")
        self.client.meta.events.register("before-send.appsync", self._send, unique_id="ours")

    def reset(self) -> None:
        """A new service, with nothing in it."""
        self.service = AppSyncService(EventApis(clock=SystemClock(), rng=random.Random(1)), _publish_nothing)

    def _send(self, request: AWSRequest, **_: Any) -> AWSResponse:
        headers = {str(name).lower(): str(value) for name, value in request.headers.items()}
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        parts = urlsplit(request.url)
        method = str(request.method)
        wire = WireRequest("appsync", REGION, method, parts.path, parts.query, headers, body, "AK", "r")
        answer = asyncio.run(self.service.handle(wire))
        assert isinstance(answer.body, bytes)
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Raw(answer.body))

    def close(self) -> None:
        """Answer no more."""
        self.client.meta.events.unregister("before-send.appsync", unique_id="ours")
