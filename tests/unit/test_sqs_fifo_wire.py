"""FIFO queues on the wire, in both protocols, with the errors and limits of the API."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from localcloud.clock import run_virtual
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.rates import Rates
from tests.unit.test_sqs_wire import NS, Client


def with_client(test: Callable[[Client], Awaitable[None]], **attributes: str) -> None:
    """Run `test` with a queue `jobs.fifo` on a virtual loop."""

    async def main() -> None:
        client = Client()
        wanted = {"FifoQueue": "true", **attributes}
        response, _ = await client.json("CreateQueue", {"QueueName": "jobs.fifo", "Attributes": wanted})
        assert response.status == 200
        await test(client)

    run_virtual(main)


def message(body: str, group: str = "g", **more: Any) -> dict[str, Any]:
    return {"MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": f"d-{body}", **more}


async def call(client: Client, action: str, **parameters: Any) -> tuple[int, Any]:
    response, told = await client.json(action, {"QueueUrl": "jobs.fifo", **parameters})
    return response.status, told


def test_a_message_goes_through_both_protocols_with_its_number() -> None:
    """Sent as JSON and as a form, received as both: group, deduplication id and sequence number are shown."""

    async def test(client: Client) -> None:
        _, first = await call(client, "SendMessage", **message("a"))
        form = {"Action": "SendMessage", "QueueUrl": "jobs.fifo", **message("b")}
        _, second = await client.form(urlencode(form))
        numbers = [first["SequenceNumber"], second.findtext(f".//{NS}SequenceNumber")]
        asked = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 0, "MessageSystemAttributeNames": ["All"]}
        _, told = await call(client, "ReceiveMessage", **asked)
        names = ("MessageGroupId", "MessageDeduplicationId", "SequenceNumber")
        assert [[one["Attributes"][name] for name in names] for one in told["Messages"]] == [
            ["g", "d-a", numbers[0]],
            ["g", "d-b", numbers[1]],
        ]
        form = {"Action": "ReceiveMessage", "QueueUrl": "jobs.fifo", "AttributeName.1": "SequenceNumber"}
        _, tree = await client.form(urlencode(form))
        assert [value.text for value in tree.iter(f"{NS}Value")] == numbers[:1]

    with_client(test)


def test_a_batch_gives_each_number_and_knows_duplicates_within_itself() -> None:
    """The second of two with one id has the first's answer; its checksum is that of what was sent."""

    async def test(client: Client) -> None:
        entries = [
            {"Id": "1", **message("a")},
            {"Id": "2", **message("b", MessageDeduplicationId="d-a")},
            {"Id": "3", **message("c", DelaySeconds=5)},
        ]
        _, told = await call(client, "SendMessageBatch", Entries=entries)
        first, second = told["Successful"]
        same = ("MessageId", "SequenceNumber")
        assert [first[name] for name in same] == [second[name] for name in same]
        assert first["MD5OfMessageBody"] != second["MD5OfMessageBody"]
        (failed,) = told["Failed"]
        assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("3", "InvalidParameterValue", True)
        assert "DelaySeconds" in failed["Message"]

    with_client(test)


@pytest.mark.parametrize(
    ("lacking", "message_text"),
    [
        ("MessageGroupId", "The request must contain the parameter MessageGroupId."),
        ("MessageDeduplicationId", "The queue should either have ContentBasedDeduplication enabled or"),
    ],
)
def test_a_batch_with_a_message_that_lacks_an_id_is_refused_whole(lacking: str, message_text: str) -> None:
    """Recorded: InvalidParameterValue for the request, where SendMessage alone has MissingParameter for the group."""

    async def test(client: Client) -> None:
        bad = {"Id": "2", **message("b")}
        del bad[lacking]
        status, told = await call(client, "SendMessageBatch", Entries=[{"Id": "1", **message("a")}, bad])
        assert (status, told["__type"]) == (400, "com.amazonaws.sqs#InvalidParameterValueException")
        assert told["message"].startswith(message_text)
        assert await call(client, "ReceiveMessage") == (200, {})

    with_client(test)


@pytest.mark.parametrize(
    ("action", "parameters", "code", "text"),
    [
        ("SendMessage", {"MessageBody": "x"}, "MissingParameter", "MessageGroupId"),
        ("SendMessage", {**message("x"), "MessageGroupId": "a b"}, "InvalidParameterValue", "alphanumeric"),
        ("SendMessage", {**message("x"), "DelaySeconds": 1}, "InvalidParameterValue", "not valid for this queue type"),
        ("ReceiveMessage", {"ReceiveRequestAttemptId": "x" * 129}, "InvalidParameterValue", "1 to 128 in length"),
        ("SetQueueAttributes", {"Attributes": {"FifoQueue": "false"}}, "InvalidAttributeValue", "queue type"),
        (
            "SetQueueAttributes",
            {"Attributes": {"FifoThroughputLimit": "perMessageGroupId"}},
            "InvalidAttributeValue",
            "DeduplicationScope",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_both_protocols(
    action: str, parameters: dict[str, Any], code: str, text: str
) -> None:
    """The same code and sentence as JSON and as XML."""

    async def test(client: Client) -> None:
        response, told = await client.json(action, {"QueueUrl": "jobs.fifo", **parameters})
        assert response.headers["x-amzn-query-error"] == f"{code};Sender"
        assert text in told["message"]
        form = {"Action": action, "QueueUrl": "jobs.fifo"}
        for name, value in parameters.items():
            if isinstance(value, dict):
                ((key, inner),) = value.items()
                form |= {"Attribute.1.Name": key, "Attribute.1.Value": inner}
            else:
                form[name] = value
        _, tree = await client.form(urlencode(form))
        assert (tree.findtext(f".//{NS}Code"), tree.findtext(f".//{NS}Message")) == (code, told["message"])

    with_client(test)


def test_a_standard_queue_takes_a_group_and_nothing_else_of_fifo() -> None:
    """MessageGroupId is a tenant there; MessageDeduplicationId and ReceiveRequestAttemptId are refused."""

    async def test(client: Client) -> None:
        await client.json("CreateQueue", {"QueueName": "plain"})
        sent = {"QueueUrl": "plain", "MessageBody": "x", "MessageGroupId": "tenant"}
        _, told = await client.json("SendMessage", sent)
        assert "SequenceNumber" not in told
        for action, more in (
            ("SendMessage", {"MessageDeduplicationId": "d"}),
            ("ReceiveMessage", {"ReceiveRequestAttemptId": "r"}),
        ):
            response, told = await client.json(action, sent | more)
            assert (response.status, "not valid for this queue type" in told["message"]) == (400, True)

    with_client(test)


def test_a_receive_is_repeated_on_the_wire() -> None:
    """The same attempt id gives the same handles, in either protocol."""

    async def test(client: Client) -> None:
        await call(client, "SendMessage", **message("a"))
        _, first = await call(client, "ReceiveMessage", ReceiveRequestAttemptId="try")
        form = {"Action": "ReceiveMessage", "QueueUrl": "jobs.fifo", "ReceiveRequestAttemptId": "try"}
        _, tree = await client.form(urlencode(form))
        assert tree.findtext(f".//{NS}ReceiptHandle") == first["Messages"][0]["ReceiptHandle"]

    with_client(test)


def test_three_hundred_transactions_a_second() -> None:
    """The 301st send in a second is refused with ThrottlingException; a batch counts once; receives count apart."""

    async def test(client: Client) -> None:
        statuses = [(await call(client, "SendMessage", **message(str(number))))[0] for number in range(299)]
        entries = [{"Id": str(number), **message(f"b{number}")} for number in range(10)]
        assert {*statuses, (await call(client, "SendMessageBatch", Entries=entries))[0]} == {200}
        status, told = await call(client, "SendMessage", **message("more"))
        assert (status, told) == (400, {"__type": "com.amazonaws.sqs#ThrottlingException", "message": "Rate exceeded"})
        assert (await call(client, "SendMessageBatch", Entries=entries))[0] == 400
        for action in ("ReceiveMessage", "DeleteMessage"):
            answers = [await call(client, action, ReceiptHandle="x") for _ in range(301)]
            assert [told.get("__type", "").endswith("ThrottlingException") for _, told in answers] == [False] * 300 + [
                True
            ]
        await asyncio.sleep(1 / 300 + 1e-6)
        assert (await call(client, "SendMessage", **message("more")))[0] == 200

    with_client(test)


def test_high_throughput_counts_by_group() -> None:
    """With perMessageGroupId one group has 300 sends a second and the next as many; a local cloud may set no limit."""

    async def test(client: Client) -> None:
        for group in ("a", "b"):
            sent = [await call(client, "SendMessage", **message(f"{group}{number}", group)) for number in range(301)]
            assert [status for status, _ in sent] == [200] * 300 + [400]
        client.queues.limits_fifo = False
        assert (await call(client, "SendMessage", **message("more", "a")))[0] == 200

    with_client(test, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")


def test_a_standard_queue_has_no_such_limit() -> None:
    """Nearly unlimited on AWS."""

    async def test(client: Client) -> None:
        await client.json("CreateQueue", {"QueueName": "plain"})
        for number in range(400):
            response, _ = await client.json("SendMessage", {"QueueUrl": "plain", "MessageBody": str(number)})
            assert response.status == 200

    with_client(test)


def test_rates_in_the_long_run_and_in_memory() -> None:
    """300 a second however they come, and nothing is kept of keys at rest."""
    rates, rng, now, done = Rates(), random.Random(3), 0.0, 0
    while now < 20:
        now += rng.random() / 200
        try:
            rates.admit([("q", "SendMessage")], now)
            done += 1
        except SqsError:
            pass
    assert 20 * 300 - 60 <= done <= 20 * 300 + 300
    for number in range(20_000):
        rates.admit([("q", str(number))], now + number)
    assert len(rates._next) < 5_000
