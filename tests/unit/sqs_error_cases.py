"""Every error that SQS's model lists for an operation: how to get it from the queues here, or why it never comes.

`Bench` speaks both protocols with one set of queues. A case prepares the queues and gives the parameters of the call
that is refused, shaped as in the JSON protocol.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import botocore.session

from localcloud.clock import LoopClock
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.sqs.model import Content, Queue, Queues
from localcloud.services.sqs.wire import SqsService

__all__ = ["MODEL", "NEVER", "PRODUCED", "Bench", "Case"]

REGION: Final = "eu-west-1"
ACCOUNT: Final = "123456789012"
MODEL: Final = botocore.session.get_session().get_service_model("sqs")
_LISTS: Final = {
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
    "AttributeNames": "AttributeName",
    "MessageSystemAttributeNames": "MessageSystemAttributeName",
    "StringListValues": "StringListValue",
    "TagKeys": "TagKey",
}
_MAPS: Final = {
    "Attributes": ("Attribute", "Name"),
    "MessageAttributes": ("MessageAttribute", "Name"),
    "Tags": ("Tag", "Key"),
}


class Bench:
    """Queues `jobs` (with `dead` behind it) and `order.fifo`, asked as JSON or as a form."""

    def __init__(self) -> None:
        self.queues = Queues(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))
        self.service = SqsService(self.queues)
        self.dead = self.queues.create("dead", REGION, attributes={}, tags={})
        redrive = json.dumps({"deadLetterTargetArn": self.dead.arn, "maxReceiveCount": 5})
        self.jobs = self.queues.create("jobs", REGION, attributes={"RedrivePolicy": redrive}, tags={})

    def url(self, queue: Queue) -> str:
        return self.queues.url_of(queue)

    def request(self, action: str, parameters: Mapping[str, Any], *, query: bool) -> WireRequest:
        if query:
            body, headers = urlencode({"Action": action, **to_form(action, parameters)}).encode(), {}
        else:
            body, headers = json.dumps(parameters).encode(), {"x-amz-target": f"AmazonSQS.{action}"}
        return WireRequest("sqs", REGION, "POST", "/", "", headers, body, "AK", "request-1")

    async def ask(self, action: str, parameters: Mapping[str, Any], *, query: bool = False) -> WireResponse:
        return await self.service.handle(self.request(action, parameters, query=query))

    async def received(self) -> str:
        """The handle of a message in flight."""
        await self.jobs.send(Content("x"))
        return (await self.jobs.receive())[0].receipt_handle


def to_form(action: str, parameters: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The parameters as the Query protocol numbers them."""
    form: dict[str, str] = {}
    for name, value in parameters.items():
        if name == "Entries":
            shape = "ChangeMessageVisibility" if action.startswith("Change") else action.removesuffix("Batch")
            for number, entry in enumerate(value, 1):
                form |= to_form(action, entry, f"{prefix}{shape}BatchRequestEntry.{number}.")
        elif name in _LISTS:
            form |= {f"{prefix}{_LISTS[name]}.{number}": str(item) for number, item in enumerate(value, 1)}
        elif name in _MAPS:
            flat, key = _MAPS[name]
            for number, (named, held) in enumerate(value.items(), 1):
                at = f"{prefix}{flat}.{number}"
                form[f"{at}.{key}"] = named
                form |= to_form(action, held, f"{at}.Value.") if isinstance(held, dict) else {f"{at}.Value": held}
        else:
            form[prefix + name] = str(value)
    return form


Case = Callable[[Bench], Awaitable[Mapping[str, Any]]]

# What each operation wants beside QueueUrl, in a form that is refused for its queue alone.
_MEMBERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "AddPermission": {"Label": "l", "AWSAccountIds": [ACCOUNT], "Actions": ["SendMessage"]},
    "ChangeMessageVisibility": {"ReceiptHandle": "h", "VisibilityTimeout": 1},
    "ChangeMessageVisibilityBatch": {"Entries": [{"Id": "1", "ReceiptHandle": "h", "VisibilityTimeout": 1}]},
    "DeleteMessage": {"ReceiptHandle": "h"},
    "DeleteMessageBatch": {"Entries": [{"Id": "1", "ReceiptHandle": "h"}]},
    "RemovePermission": {"Label": "l"},
    "SendMessage": {"MessageBody": "x"},
    "SendMessageBatch": {"Entries": [{"Id": "1", "MessageBody": "x"}]},
    "SetQueueAttributes": {"Attributes": {"DelaySeconds": "1"}},
    "TagQueue": {"Tags": {"k": "v"}},
    "UntagQueue": {"TagKeys": ["k"]},
}
_OF_QUEUES: Final = tuple(
    name for name in MODEL.operation_names if "QueueUrl" in MODEL.operation_model(name).input_shape.members
)
_BATCHES: Final = ("ChangeMessageVisibilityBatch", "DeleteMessageBatch", "SendMessageBatch")


def fixed(**parameters: Any) -> Case:
    """Parameters that need no preparation."""

    async def case(_: Bench) -> Mapping[str, Any]:
        return parameters

    return case


def with_url(url: str, action: str) -> Case:
    return fixed(QueueUrl=url, **_MEMBERS.get(action, {}))


def on_jobs(**parameters: Any) -> Case:
    async def case(bench: Bench) -> Mapping[str, Any]:
        return {"QueueUrl": bench.url(bench.jobs), **parameters}

    return case


def _many(action: str, count: int) -> list[Mapping[str, Any]]:
    (entry,) = _MEMBERS[action]["Entries"]
    return [{**entry, "Id": str(number)} for number in range(count)]


async def _again(bench: Bench) -> Mapping[str, Any]:
    return {"QueueName": "jobs", "Attributes": {"DelaySeconds": "9"}}


async def _recently(bench: Bench) -> Mapping[str, Any]:
    bench.queues.delete(bench.jobs)
    return {"QueueName": "jobs"}


async def _purged(bench: Bench) -> Mapping[str, Any]:
    bench.jobs.purge()
    return {"QueueUrl": bench.url(bench.jobs)}


async def _not_in_flight(bench: Bench) -> Mapping[str, Any]:
    handle = await bench.received()
    await bench.jobs.change_visibility(handle, 0)
    return {"QueueUrl": bench.url(bench.jobs), "ReceiptHandle": handle, "VisibilityTimeout": 5}


async def _ended_task(bench: Bench) -> Mapping[str, Any]:
    task = bench.queues.move_tasks.start(bench.dead.arn)
    await asyncio.sleep(1)
    return {"TaskHandle": task.handle}


_LIST_VALUE: Final = {"a": {"DataType": "String", "StringListValues": ["x"]}}
_TOO_LONG: Final = [{"Id": str(number), "MessageBody": "x" * 600_000} for number in range(2)]
_WIDE_POLICY: Final = json.dumps(
    {"Statement": {"Effect": "Allow", "Principal": "*", "Action": ["sqs:SendMessage"] * 8, "Resource": "*"}}
)
_GONE: Final = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone"

PRODUCED: Final[dict[tuple[str, str], Case]] = {
    **{(name, "QueueDoesNotExist"): with_url(f"http://sqs/{ACCOUNT}/gone", name) for name in _OF_QUEUES},
    ("GetQueueUrl", "QueueDoesNotExist"): fixed(QueueName="gone"),
    **{(name, "InvalidAddress"): with_url("http://sqs/a/b/c", name) for name in _OF_QUEUES},
    **{(name, "EmptyBatchRequest"): on_jobs(Entries=[]) for name in _BATCHES},
    **{(name, "TooManyEntriesInBatchRequest"): on_jobs(Entries=_many(name, 11)) for name in _BATCHES},
    **{(name, "BatchEntryIdsNotDistinct"): on_jobs(Entries=_many(name, 1) * 2) for name in _BATCHES},
    **{(name, "InvalidBatchEntryId"): on_jobs(Entries=[{**_many(name, 1)[0], "Id": "a b"}]) for name in _BATCHES},
    ("SendMessageBatch", "BatchRequestTooLong"): on_jobs(Entries=_TOO_LONG),
    ("AddPermission", "OverLimit"): on_jobs(Label="l", AWSAccountIds=[ACCOUNT], Actions=["SendMessage"] * 8),
    ("ReceiveMessage", "OverLimit"): on_jobs(),
    ("SetQueueAttributes", "OverLimit"): on_jobs(Attributes={"Policy": _WIDE_POLICY}),
    ("CreateQueue", "InvalidAttributeName"): fixed(QueueName="new", Attributes={"Colour": "red"}),
    ("GetQueueAttributes", "InvalidAttributeName"): on_jobs(AttributeNames=["Colour"]),
    ("SetQueueAttributes", "InvalidAttributeName"): on_jobs(Attributes={"Colour": "red"}),
    ("CreateQueue", "InvalidAttributeValue"): fixed(QueueName="new", Attributes={"DelaySeconds": "901"}),
    ("SetQueueAttributes", "InvalidAttributeValue"): on_jobs(Attributes={"DelaySeconds": "901"}),
    ("CreateQueue", "QueueNameExists"): _again,
    ("CreateQueue", "QueueDeletedRecently"): _recently,
    ("PurgeQueue", "PurgeQueueInProgress"): _purged,
    ("SendMessage", "InvalidMessageContents"): on_jobs(MessageBody="\u0001"),
    ("ChangeMessageVisibility", "MessageNotInflight"): _not_in_flight,
    ("ChangeMessageVisibility", "ReceiptHandleIsInvalid"): on_jobs(ReceiptHandle="h", VisibilityTimeout=1),
    ("DeleteMessage", "ReceiptHandleIsInvalid"): on_jobs(ReceiptHandle="h"),
    ("SendMessage", "UnsupportedOperation"): on_jobs(MessageBody="x", MessageAttributes=_LIST_VALUE),
    ("SendMessageBatch", "UnsupportedOperation"): on_jobs(
        Entries=[{"Id": "1", "MessageBody": "x", "MessageAttributes": _LIST_VALUE}]
    ),
    ("CancelMessageMoveTask", "UnsupportedOperation"): _ended_task,
    ("CancelMessageMoveTask", "ResourceNotFoundException"): fixed(TaskHandle="eyJzb3VyY2VBcm4iOiJhcm4ifQ=="),
    ("ListMessageMoveTasks", "ResourceNotFoundException"): fixed(SourceArn=_GONE),
    ("StartMessageMoveTask", "ResourceNotFoundException"): fixed(SourceArn=_GONE),
}
_ALL_MEMBERS: Final = "every member that the model has is served"
_NO_ADDRESS: Final = "the call names no queue by its address"

# Errors that no call here is refused with: for every operation, or for one.
NEVER: Final[dict[str | tuple[str, str], str]] = {
    "InvalidIdFormat": "of the handles of versions before 2009",
    "InvalidSecurity": "the local cloud answers without TLS; a call that nobody signed is refused before SQS sees it",
    **{
        f"Kms{name}": "messages are not encrypted, so no key is asked"
        for name in (
            "AccessDenied",
            "Disabled",
            "InvalidKeyUsage",
            "InvalidState",
            "NotFound",
            "OptInRequired",
            "Throttled",
        )
    },
    **{
        (name, "InvalidAddress"): _NO_ADDRESS
        for name in (
            "CancelMessageMoveTask",
            "CreateQueue",
            "GetQueueUrl",
            "ListMessageMoveTasks",
            "ListQueues",
            "StartMessageMoveTask",
        )
    },
    **{
        (name, "UnsupportedOperation"): _ALL_MEMBERS
        for name in MODEL.operation_names
        if name not in ("CancelMessageMoveTask", "SendMessage", "SendMessageBatch")
    },
}
