"""The sides of SQS's differential tests: the local cloud and moto in this process, and MiniStack where it runs.

All are sent the same JSON requests, without botocore before them; what is a side's own (ids, handles, dates, the world
that a run is in) is left out of the comparison.
"""

from __future__ import annotations

import http.client
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService, DelegateFailed
from localcloud.services.contract import Service, WireRequest
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from tests.contract.sqs_operations import Arn, Handle, Name, Url

REGION = "eu-west-1"
CRASH = "InternalFailure"  # whatever moto raises, its unserved operations as well
Answer = tuple[str, dict[str, Any]]
_SCOPE = f"Credential=AK/20260101/{REGION}/sqs/aws4_request"
_OWN = (
    "CreatedTimestamp", "LastModifiedTimestamp", "MessageId", "ReceiptHandle", "ApproximateFirstReceiveTimestamp",
    "SenderId", "SentTimestamp", "SequenceNumber", "TaskHandle",
)  # fmt: skip


def headers_of(action: str) -> dict[str, str]:
    return {
        "authorization": f"AWS4-HMAC-SHA256 {_SCOPE}, SignedHeaders=host, Signature=x",
        "content-type": "application/x-amz-json-1.0",
        "host": f"sqs.{REGION}.amazonaws.com",
        "x-amz-date": "20260101T000000Z",
        "x-amz-target": f"AmazonSQS.{action}",
    }


def code_of(status: int, headers: dict[str, str], told: dict[str, Any]) -> str:
    """The error code of an answer, "" for none."""
    query = {name.lower(): value for name, value in headers.items()}.get("x-amzn-query-error", "").partition(";")[0]
    return (query or str(told.get("__type", status)).rpartition("#")[2]) if status >= 400 else ""


@dataclass
class InProcess:
    """A service of this process."""

    service: Service

    async def send(self, action: str, body: bytes) -> Answer:
        headers = {**headers_of(action), "content-length": str(len(body))}
        try:
            answer = await self.service.handle(WireRequest("sqs", REGION, "POST", "/", "", headers, body, "AK", "r"))
        except DelegateFailed:
            return CRASH, {}
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body or b"{}")
        return code_of(answer.status, dict(answer.headers), told), told


class Listening:
    """A server at an address."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    async def send(self, action: str, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request("POST", "/", body, headers_of(action))
            reply = connection.getresponse()
            told = json.loads(reply.read() or b"{}")
            return code_of(reply.status, dict(reply.getheaders()), told), told
        finally:
            connection.close()


@dataclass
class Side:
    """One implementation and what it has told of one world's queues."""

    wire: InProcess | Listening
    world: str
    account: str
    urls: dict[str, str] = field(default_factory=dict)
    handles: dict[str, dict[str, str]] = field(default_factory=dict)

    async def ask(self, action: str, parameters: dict[str, Any], known: Callable[[str], list[str]]) -> Answer:
        """What it answers, as it says it. `known` gives the bodies that every side has a handle of."""
        filled = self._fill(parameters, known)
        code, told = await self.wire.send(action, json.dumps(filled).encode())
        if not code and action == "CreateQueue":
            self.urls[parameters["QueueName"].name] = told["QueueUrl"]
        for message in told.get("Messages") or []:
            kept = self.handles.setdefault(parameters["QueueUrl"].name, {})
            kept[message["Body"]] = message["ReceiptHandle"]
        return code, told

    def _fill(self, value: Any, known: Callable[[str], list[str]]) -> Any:
        match value:
            case Url():
                return self.urls.get(value.name, f"http://sqs/{self.account}/{self.world}{value.name}")
            case Arn():
                arn = f"arn:aws:sqs:{REGION}:{self.account}:{self.world}{value.name}"
                return value.text.replace("%s", arn)
            case Name():
                return (self.world + value.name)[:80]
            case Handle():
                bodies = known(value.name)
                return self.handles[value.name][bodies[value.at % len(bodies)]] if bodies else f"none{value.at}"
            case dict():
                return {name: self._fill(item, known) for name, item in value.items()}
            case list():
                return [self._fill(item, known) for item in value]
            case _:
                return value

    def plain(self, told: Any) -> Any:
        """An answer without what is this side's own; messages by body, entries of batches by id."""
        if isinstance(told, dict):
            own = {*_OWN, "Message"} if "SenderFault" in told else _OWN  # each has its own sentences
            items = {name: self.plain(item) for name, item in told.items() if name not in own}
            if "NextToken" in items:
                items["NextToken"] = "more"
            return items
        if isinstance(told, list):
            items = [self.plain(item) for item in told]
            if items and all(isinstance(item, dict) for item in items):
                return sorted(items, key=lambda item: (item.get("Id", ""), item.get("Body", "")))
            return sorted(items) if all(isinstance(item, str) for item in items) else items
        if isinstance(told, str):
            text = re.sub(r"https?://[^/\"]*", "", told).replace(self.world, "").replace(self.account, "0")
            return json.loads(text) if text.startswith("{") and text.endswith("}") else text
        return told


def ours() -> InProcess:
    """The local cloud's queues, new and empty; FIFO queues are not throttled."""
    queues = Queues(clock=SystemClock(), rng=random.Random(1))
    queues.limits_fifo = False
    return InProcess(SqsService(queues))


def moto(delegate: Delegate) -> InProcess:
    """moto, as the long tail has it."""
    return InProcess(DelegatedService("sqs", delegate, needs=lambda _: ()))
