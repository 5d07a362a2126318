"""SQS against moto: the same raw requests to both, thousands of generated ones, the same answers.

Where the two differ on purpose, `explained` says how and why; everything else must be equal. Queues hold at most ten
messages and receives ask for ten, because moto keeps the order of sending and a standard queue promises none.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Service, WireRequest
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

MAX_HELD = 10
REGION = "eu-west-1"
_NAMES = itertools.count()
_UNLIKE = ("MessageId", "ReceiptHandle", "QueueUrl", "SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId")


@dataclass
class Side:
    """One of the two, and what it has told us: queue URL, receipt handles by body."""

    service: Service
    url: str = ""
    handles: dict[str, str] = field(default_factory=dict)

    async def call(self, action: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The error code ("" for none) and the body."""
        body = json.dumps(parameters).encode()
        request = WireRequest(
            service="sqs",
            region=REGION,
            method="POST",
            path="/",
            query="",
            headers={
                "authorization": f"AWS4-HMAC-SHA256 Credential=AK/20260101/{REGION}/sqs/aws4_request, Signature=x",
                "content-length": str(len(body)),
                "content-type": "application/x-amz-json-1.0",
                "host": f"sqs.{REGION}.amazonaws.com",
                "x-amz-target": f"AmazonSQS.{action}",
            },
            body=body,
            access_key="AK",
            request_id="r",
        )
        answer = await self.service.handle(request)
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body or b"{}")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        code = headers.get("x-amzn-query-error", "").partition(";")[0] or told.get("__type", "").rpartition("#")[2]
        return (code if answer.status >= 400 else ""), told


def normal(value: Any) -> Any:
    """Without ids, handles and dates; messages by body, other lists in order."""
    if isinstance(value, dict):
        return {name: normal(item) for name, item in value.items() if name not in _UNLIKE}
    if isinstance(value, list):
        items = [normal(item) for item in value]
        return sorted(items, key=lambda item: item.get("Body", "")) if all("Body" in item for item in items) else items
    return value


# What is refused here as AWS documents it and moto accepts: such a request goes to our side only.
MOTO_ACCEPTS = {
    ("ChangeMessageVisibility", "AWS.SimpleQueueService.MessageNotInflight"): "a message that is visible",
    ("ReceiveMessage", "InvalidParameterValue"): "a visibility timeout out of 0 to 43200",
    ("SendMessage", "InvalidMessageContents"): "characters outside of XML's",
    ("SendMessage", "InvalidParameterValue"): "reserved names, numbers that are none, values of the wrong kind, delays",
    ("SetQueueAttributes", "InvalidAttributeName"): "any attribute name",
}
# Answers that differ on purpose: (action, our code, moto's code) -> why.
EXPLAINED = {
    (
        "ChangeMessageVisibility",
        "InvalidParameterValue",
        "ReceiptHandleIsInvalid",
    ): "a deleted message's handle is well formed: the message is not available for the change",
    ("ListQueueTags", "", ""): "without tags the answer has no Tags member",
}


TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0x10FFFF, exclude_categories=("Cs",)), max_size=8)
GOOD = st.text("abcé😀 &+%<>\n\"'", min_size=1, max_size=12)
TYPES = st.sampled_from(["String", "Number", "Binary", "String.custom", "Number.float", "Colour", ""])


@st.composite
def attribute_values(draw: st.DrawFn) -> dict[str, str]:
    data_type = draw(TYPES)
    if data_type.startswith("Binary"):
        return {"DataType": data_type, "BinaryValue": draw(st.sampled_from(["AAEC", "eA==", ""]))}
    return {"DataType": data_type, "StringValue": draw(st.sampled_from(["1", "-2.5", "x", "é", ""]))}


ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b-c", "d.e", "AWS.x", "f g", "."]), attribute_values(), max_size=3)
VISIBILITY = st.sampled_from([None, 30, 600, 43_200, 43_201, -1])
OPERATION = st.one_of(
    st.tuples(st.just("send"), st.one_of(GOOD, GOOD, TEXT), ATTRIBUTES, st.sampled_from([None, 0, 900, 901, -1])),
    st.tuples(st.just("send"), GOOD, st.just({}), st.none()),
    st.tuples(st.just("batch"), st.lists(st.tuples(st.sampled_from(["i", "j", "k", "a b"]), GOOD), max_size=4)),
    st.tuples(st.just("receive"), VISIBILITY, st.sampled_from([10, 10, 10, 10, 0, 11])),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("delete_batch"), st.lists(st.integers(0, 9), max_size=3, unique=True)),
    st.tuples(st.just("change"), st.integers(0, 9), st.sampled_from([0, 0, 60, 43_201])),
    st.tuples(st.just("count")),
    st.tuples(st.just("tags"), st.dictionaries(st.sampled_from("xyz"), st.text("ab", max_size=2), max_size=2)),
    st.tuples(
        st.just("attributes"), st.sampled_from(["VisibilityTimeout", "DelaySeconds", "Colour"]), st.integers(0, 99)
    ),
)


class Pair:
    """Both sides, fed the same."""

    def __init__(self, ours: Side, theirs: Side) -> None:
        self.sides = (ours, theirs)
        self.held: set[str] = set()
        self.sent = 0

    async def both(self, action: str, *parameters: dict[str, Any]) -> None:
        """Ask both the same (or each its own, where two are given) and hold the answers against each other."""
        own = parameters * (3 - len(parameters))
        ours = await self._ask(0, action, own[0])
        if (action, ours[0]) in MOTO_ACCEPTS:
            return
        theirs = await self._ask(1, action, own[1])
        if ours != theirs and (action, ours[0], theirs[0]) not in EXPLAINED:
            raise AssertionError(f"{action} {own}: {ours} here, {theirs} by moto")

    async def _ask(self, which: int, action: str, parameters: dict[str, Any]) -> tuple[str, Any]:
        side = self.sides[which]
        code, told = await side.call(action, {"QueueUrl": side.url, **parameters})
        for message in told.get("Messages", []):
            side.handles[message["Body"]] = message["ReceiptHandle"]
        return code, "" if code else normal(told)

    def body(self, text: str) -> str:
        """`text`, made unlike every other body."""
        self.sent += 1
        return f"{text}{self.sent}"

    async def run(self, operation: tuple[Any, ...]) -> None:
        kind, *rest = operation
        await getattr(self, f"_{kind}")(*rest)

    async def _send(self, text: str, attributes: dict[str, Any], delay: int | None) -> None:
        if len(self.held) >= MAX_HELD:
            return
        body = self.body(text)
        self.held.add(body)
        parameters = {"MessageBody": body, "MessageAttributes": attributes}
        await self.both("SendMessage", parameters if delay is None else {**parameters, "DelaySeconds": delay})

    async def _batch(self, entries: list[tuple[str, str]]) -> None:
        if len(self.held) + len(entries) > MAX_HELD:
            return
        made = [{"Id": entry_id, "MessageBody": self.body(text)} for entry_id, text in entries]
        self.held.update(entry["MessageBody"] for entry in made)
        await self.both("SendMessageBatch", {"Entries": made})

    async def _receive(self, visibility: int | None, most: int) -> None:
        parameters = {"MaxNumberOfMessages": most, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        await self.both(
            "ReceiveMessage", parameters if visibility is None else {**parameters, "VisibilityTimeout": visibility}
        )

    def _known(self, index: int) -> str | None:
        bodies = sorted(set(self.sides[0].handles) & set(self.sides[1].handles))
        return bodies[index % len(bodies)] if bodies else None

    async def _delete(self, index: int) -> None:
        body = self._known(index)
        if body is None:
            await self.both("DeleteMessage", {"ReceiptHandle": "nonsense"})
            return
        await self.both("DeleteMessage", *({"ReceiptHandle": side.handles[body]} for side in self.sides))
        self.held.discard(body)

    async def _delete_batch(self, indexes: list[int]) -> None:
        bodies = [body for body in dict.fromkeys(map(self._known, indexes)) if body is not None]
        entries = (
            {"Entries": [{"Id": f"e{at}", "ReceiptHandle": side.handles[body]} for at, body in enumerate(bodies)]}
            for side in self.sides
        )
        await self.both("DeleteMessageBatch", *entries)
        self.held.difference_update(bodies)

    async def _change(self, index: int, visibility: int) -> None:
        body = self._known(index)
        if body is None:
            return
        both = ({"ReceiptHandle": side.handles[body], "VisibilityTimeout": visibility} for side in self.sides)
        await self.both("ChangeMessageVisibility", *both)

    async def _count(self) -> None:
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        await self.both("GetQueueAttributes", {"AttributeNames": names})

    async def _tags(self, tags: dict[str, str]) -> None:
        await self.both("TagQueue", {"Tags": tags})
        await self.both("ListQueueTags", {})
        await self.both("UntagQueue", {"TagKeys": sorted(tags)})
        await self.both("ListQueueTags", {})

    async def _attributes(self, name: str, value: int) -> None:
        await self.both("SetQueueAttributes", {"Attributes": {name: str(value)}})
        await self.both("GetQueueAttributes", {"AttributeNames": ["VisibilityTimeout", "DelaySeconds"]})


@pytest.fixture(scope="module")
def delegate() -> Iterator[Delegate]:
    """moto, as the long tail has it."""
    made = Delegate()
    yield made
    made.close()


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATION, min_size=10, max_size=40))
def test_generated_operations_answer_as_moto_does(delegate: Delegate, operations: list[tuple[Any, ...]]) -> None:
    """Any sequence of actions gives the same answers and the same errors on both sides."""

    async def main() -> None:
        ours = SqsService(Queues(clock=SystemClock(), rng=random.Random(1)))
        pair = Pair(Side(ours), Side(DelegatedService("sqs", delegate, needs=lambda _: ())))
        name = f"queue-{next(_NAMES)}"
        for side in pair.sides:
            side.url = (await side.call("CreateQueue", {"QueueName": name}))[1]["QueueUrl"]
        for operation in operations:
            await pair.run(operation)

    with asyncio.Runner() as runner:
        runner.run(main())
