"""What the mixed load asks of the local cloud: each kind of call, at a rate of its own, in a thread of its own.

Open loop: a call is due at a moment that does not depend on how the ones before it fared, and its latency is counted
from then. A call that is answered with success is acknowledged; only those must have been handled in the end.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from mesh_figures import Spread

from localcloud.replay.websocket import WebSocket, WebSocketRefused

SCOPE = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
LIMIT_S = 60.0
KEYS = 200  # of a table and a bucket: what is kept does not grow


class Unanswered(Exception):
    """An answer that is none of the expected, or none."""


class Site:
    """One connection to the cloud, kept open for as long as anybody has it. Not for two threads."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._open = http.client.HTTPConnection(self._host, timeout=LIMIT_S)
        weakref.finalize(self, self._open.close)

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """The body of a success. Raises Unanswered."""
        try:
            self._open.request(method, path, body, headers)
            answer = self._open.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._open.close()
            raise Unanswered(repr(error)) from error
        if answer.status >= 300:
            raise Unanswered(f"{answer.status} {told[:200]!r}")
        return told

    def aws(self, service: str, target: str, asked: dict[str, Any]) -> dict[str, Any]:
        """A call of an AWS JSON protocol."""
        version = "1.1" if target.startswith(("Kinesis", "AWSEvents")) else "1.0"
        headers = {
            "authorization": SCOPE.format(service),
            "content-type": f"application/x-amz-json-{version}",
            "x-amz-target": target,
        }
        return json.loads(self.ask("POST", "/", json.dumps(asked).encode(), headers) or b"{}")


class Kind(NamedTuple):
    """One kind of call: `call(number)` raises Unanswered where it was not acknowledged."""

    name: str
    rate: float
    call: Callable[[int], None]


class Caller(threading.Thread):
    """Calls of one kind until it is told to stop."""

    def __init__(self, kind: Kind, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.kind = kind
        self.acknowledged: list[int] = []
        self.problems: list[str] = []
        self.spread = Spread()
        self._stop_asked = stop

    def run(self) -> None:
        begun, number = time.perf_counter(), 0
        while not self._stop_asked.wait(max(0.0, (due := begun + number / self.kind.rate) - time.perf_counter())):
            try:
                self.kind.call(number)
            except Unanswered as problem:
                self.problems.append(str(problem))
            else:
                self.acknowledged.append(number)
                self.spread.add((time.perf_counter() - due) * 1e3)
            number += 1


def _web(outputs: dict[str, str], name: str, versions: set[int]) -> Callable[[int], None]:
    url = outputs[name.capitalize()]
    site = Site(url)

    def call(number: int) -> None:
        asked = json.dumps({"kind": name, "number": number}).encode()
        told = json.loads(site.ask("POST", urlsplit(url).path, asked, {"content-type": "application/json"}))
        versions.add(told["version"])
        if told["number"] != number:
            raise Unanswered(str(told))

    return call


def _json(aws: str, service: str, target: str, write: Callable[[int, str], dict[str, Any]]) -> Callable[[int], None]:
    """A call whose members hold the number, as JSON."""
    site = Site(aws)

    def call(number: int) -> None:
        told = site.aws(service, target, write(number, json.dumps({"number": number})))
        if told.get("FailedEntryCount"):
            raise Unanswered(str(told))

    return call


def _files(aws: str) -> Callable[[int], None]:
    """Put, get, and every other one deleted."""
    site, headers = Site(aws), {"authorization": SCOPE.format("s3")}

    def call(number: int) -> None:
        path, body = f"/mixed-files/k{number % KEYS}", f"{number} ".encode() * 200
        site.ask("PUT", path, body, headers)
        if site.ask("GET", path, b"", headers) != body:
            raise Unanswered(f"{path} is not what was put")
        if number % 2:
            site.ask("DELETE", path, b"", headers)

    return call


def _chat(url: str) -> Callable[[int], None]:
    """Chatting clients, one after the other; each hangs up after some messages, and a new one comes."""
    clients: dict[int, WebSocket] = {}

    def call(number: int) -> None:
        seat = number % 8
        try:
            if number % 160 == seat and seat in clients:
                clients.pop(seat).__exit__(None, None, None)
            if seat not in clients:
                clients[seat] = WebSocket(url, headers={}, timeout_s=LIMIT_S)
            clients[seat].send(json.dumps({"action": "say", "number": number}))
            told = json.loads(clients[seat].receive())
        except (OSError, ValueError, WebSocketRefused) as error:
            if seat in clients:
                with suppress(OSError):
                    clients.pop(seat).__exit__(None, None, None)
            raise Unanswered(repr(error)) from error
        if told != {"number": number}:
            raise Unanswered(str(told))

    weakref.finalize(call, _hang_up, clients)
    return call


def _hang_up(clients: dict[int, WebSocket]) -> None:
    for client in clients.values():
        with suppress(OSError):
            client.__exit__(None, None, None)


def _topic(aws: str, topic: str) -> Callable[[int], None]:
    site = Site(aws)
    headers = {"authorization": SCOPE.format("sns"), "content-type": "application/x-www-form-urlencoded"}

    def call(number: int) -> None:
        asked = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic, "Message": f'{{"number": {number}}}'}
        site.ask("POST", "/", urlencode(asked).encode(), headers)

    return call


def _later(aws: str, function: str) -> Callable[[int], None]:
    site = Site(aws)
    headers = {"authorization": SCOPE.format("lambda"), "x-amz-invocation-type": "Event"}
    path = f"/2015-03-31/functions/{quote(function)}/invocations"
    return lambda number: void(site.ask("POST", path, b'{"number": %d}' % number, headers))


def void(_: object) -> None:
    """A call whose answer tells nothing more than that it was one."""


def put_item(outputs: dict[str, str], aws: str, keys: int) -> Callable[[int], None]:
    return _json(
        aws,
        "dynamodb",
        "DynamoDB_20120810.PutItem",
        lambda number, _: {
            "TableName": outputs["Items"],
            "Item": {"id": {"S": f"i{number % keys}"}, "number": {"N": str(number)}},
        },
    )


def send(queue: str, aws: str) -> Callable[[int], None]:
    return _json(aws, "sqs", "AmazonSQS.SendMessage", lambda _, text: {"QueueUrl": queue, "MessageBody": text})


def name_kinds(status: dict[str, Any], share: float, versions: set[int]) -> list[Kind]:
    """All of them; `share` multiplies every rate."""
    outputs, aws = status["outputs"], status["endpoints"]["aws"]
    entry = {"Source": "mixed.load", "DetailType": "n", "EventBusName": "mixed"}
    kinds = [
        Kind("rest", 10, _web(outputs, "rest", versions)),
        Kind("http", 10, _web(outputs, "http", versions)),
        Kind("queue", 15, send(outputs["Jobs"], aws)),
        Kind(
            "stream",
            15,
            _json(
                aws,
                "kinesis",
                "Kinesis_20131202.PutRecord",
                lambda number, text: {
                    "StreamName": outputs["Readings"],
                    "PartitionKey": str(number),
                    "Data": _base64(text),
                },
            ),
        ),
        Kind("table", 10, put_item(outputs, aws, KEYS)),
        Kind("topic", 5, _topic(aws, outputs["Topic"])),
        Kind(
            "bus",
            5,
            _json(aws, "events", "AWSEvents.PutEvents", lambda _, text: {"Entries": [{**entry, "Detail": text}]}),
        ),
        Kind("later", 5, _later(aws, outputs["Later"])),
        Kind("chat", 8, _chat(outputs["Socket"])),
        Kind("files", 5, _files(aws)),
        Kind(
            "step",
            0.5,
            _json(
                aws,
                "states",
                "AWSStepFunctions.StartExecution",
                lambda _, text: {"stateMachineArn": outputs["Machine"], "input": text},
            ),
        ),
    ]
    return [kind._replace(rate=kind.rate * share) for kind in kinds]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def receive_all(site: Site, queue: str) -> list[int]:
    """Every message that a queue gives, deleted; its numbers."""
    found: list[int] = []
    while True:
        asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        messages = site.aws("sqs", "AmazonSQS.ReceiveMessage", asked).get("Messages", [])
        if not messages:
            return found
        for message in messages:
            found.append(json.loads(message["Body"])["number"])
            deleted = {"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]}
            site.aws("sqs", "AmazonSQS.DeleteMessage", deleted)
