"""Every error that SQS's model lists for an operation, got for real in both protocols, or never here with a reason.

The statuses are those that public test suites recorded from AWS; botocore's own parser reads the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from botocore.parsers import create_parser

from localcloud.chaos.refusing import throttle_call
from localcloud.clock import run_virtual
from localcloud.services.contract import WireResponse
from localcloud.services.sqs import holding
from tests.unit.sqs_error_cases import MODEL, NEVER, PRODUCED, Bench

STATUSES = {
    "InvalidAddress": 404,
    "OverLimit": 403,
    "PurgeQueueInProgress": 403,
    "ReceiptHandleIsInvalid": 404,
    "ResourceNotFoundException": 404,
}  # 400 are all others
BARE = {  # codes of the Query protocol without the prefix of the older versions
    "InvalidAddress": "InvalidAddress",
    "InvalidAttributeName": "InvalidAttributeName",
    "InvalidAttributeValue": "InvalidAttributeValue",
    "InvalidMessageContents": "InvalidMessageContents",
    "OverLimit": "OverLimit",
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "ReceiptHandleIsInvalid": "ReceiptHandleIsInvalid",
    "ResourceNotFoundException": "ResourceNotFoundException",
}
LISTED = [
    (name, shape.name) for name in MODEL.operation_names for shape in MODEL.operation_model(name).error_shapes or ()
]


def parsed(action: str, response: WireResponse) -> dict[str, Any]:
    """The answer as boto3 shows it."""
    raw = {"status_code": response.status, "headers": response.headers, "body": response.body}
    return create_parser("json").parse(raw, MODEL.operation_model(action).output_shape)["Error"]


def written(response: WireResponse) -> dict[str, str | None]:
    """The error of a form's answer."""
    assert isinstance(response.body, bytes)
    root = ET.fromstring(response.body.decode())
    found = {each.tag.rpartition("}")[2]: each.text for each in root.iter()}
    return {name: found.get(name) for name in ("Type", "Code", "Message", "RequestId")}


@pytest.mark.parametrize(("action", "error"), sorted(PRODUCED))
@pytest.mark.parametrize("query", [False, True], ids=["json", "form"])
def test_a_listed_error_has_its_shape_its_code_and_its_status(
    monkeypatch: pytest.MonkeyPatch, action: str, error: str, *, query: bool
) -> None:
    """As JSON: __type, message and x-amzn-query-error, which boto3 shows as Code; as a form: the older code in XML."""
    if (action, error) == ("ReceiveMessage", "OverLimit"):
        monkeypatch.setattr(holding, "MAX_IN_FLIGHT", 0)
    code = BARE.get(error, f"AWS.SimpleQueueService.{error}")

    async def main() -> None:
        bench = Bench()
        parameters: Mapping[str, Any] = await PRODUCED[action, error](bench)
        response = await bench.ask(action, parameters, query=query)
        assert response.status == STATUSES.get(error, 400)
        if query:
            told = written(response)
            assert (told["Type"], told["Code"], told["RequestId"]) == ("Sender", code, "request-1")
        else:
            told = parsed(action, response)
            assert (told["Type"], told["Code"], told["QueryErrorCode"]) == ("Sender", code, error)
        assert told["Message"]

    run_virtual(main)


@pytest.mark.parametrize("action", MODEL.operation_names)
def test_a_throttled_call_is_told_so(action: str) -> None:
    """RequestThrottled of every operation comes from injected faults: nothing but FIFO queues is throttled else."""

    async def main() -> None:
        request = Bench().request(action, {}, query=False)
        told = parsed(action, throttle_call(request, action))
        assert (told["Code"], told["QueryErrorCode"]) == ("RequestThrottled", "RequestThrottled")

    run_virtual(main)


def test_every_listed_error_is_got_or_has_a_reason() -> None:
    """The model's list, whole: none is forgotten, and none is both got and said never to come."""
    never = [pair for pair in LISTED if pair in NEVER or pair[1] in NEVER]
    throttled = [pair for pair in LISTED if pair[1] == "RequestThrottled"]
    assert set(never) & set(PRODUCED) == set()
    assert sorted([*never, *throttled, *PRODUCED]) == sorted(LISTED)
    assert [pair for pair in NEVER if isinstance(pair, tuple) and pair not in LISTED] == []


@pytest.mark.parametrize(
    ("action", "parameters", "code", "message"),
    [
        ("GetQueueUrl", {}, "MissingParameter", "The request must contain the parameter QueueName."),
        ("AddPermission", {"Label": ""}, "MissingParameter", "The request must contain the parameter Label."),
        ("AddPermission", {"Label": "l"}, "MissingParameter", "The request must contain the parameter Actions."),
        (
            "AddPermission",
            {"Label": "l", "Actions": ["*"]},
            "MissingParameter",
            "The request must contain the parameter AWSAccountIds.",
        ),
        (
            "SendMessageBatch",
            {"Entries": [{"Id": "", "MessageBody": "x"}]},
            "AWS.SimpleQueueService.InvalidBatchEntryId",
            (
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long."
            ),
        ),
        (
            "DeleteMessageBatch",
            {"Entries": [{"ReceiptHandle": "h"}]},
            "MissingParameter",
            "The request must contain the parameter Id.",
        ),
        (
            "ReceiveMessage",
            {"VisibilityTimeout": 43_201},
            "InvalidParameterValue",
            "Value 43201 for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.",
        ),
        (
            "ReceiveMessage",
            {"MaxNumberOfMessages": 11},
            "InvalidParameterValue",
            "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
        ),
        (
            "ReceiveMessage",
            {"MessageSystemAttributeNames": ["Colour"]},
            "InvalidAttributeName",
            "Unknown Attribute Colour.",
        ),
        (
            "SendMessage",
            {"MessageBody": "x", "DelaySeconds": 901},
            "InvalidParameterValue",
            "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
        ),
        (
            "SendMessage",
            {"MessageBody": "x", "MessageAttributes": {"ErrorDetails": {"DataType": "String", "StringValue": ""}}},
            "InvalidParameterValue",
            "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.",
        ),
        (
            "SendMessage",
            {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Colour", "StringValue": "x"}}},
            "InvalidParameterValue",
            (
                "The type of message (user) attribute 'a' is invalid. "
                "You must use only the following supported type prefixes: Binary, Number, String."
            ),
        ),
        (
            "SendMessage",
            {"MessageBody": "x", "MessageAttributes": {"Hello": {"DataType": "Number", "StringValue": "world"}}},
            "InvalidParameterValue",
            "Can't cast the value of message (user) attribute 'Hello' to a number.",
        ),
        *(
            (
                "SendMessage",
                {"MessageBody": "x", "MessageAttributes": {name: {"DataType": "String", "StringValue": "x"}}},
                "InvalidParameterValue",
                f"Message (user) attribute name must not {rule}.",
            )
            for name, rule in (
                (".a", "begin with character '.'"),
                ("a.", "end with character '.'"),
                ("a..b", "have successive '.' characters"),
            )
        ),
        (
            "CancelMessageMoveTask",
            {"TaskHandle": "nonsense"},
            "InvalidParameterValue",
            "Value for parameter TaskHandle is invalid.",
        ),
        (
            "CancelMessageMoveTask",
            {"TaskHandle": "eyJzb3VyY2VBcm4iOiJhcm4ifQ=="},
            "ResourceNotFoundException",
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        ),
    ],
)
def test_what_no_operation_lists_has_awss_sentence(
    action: str, parameters: Mapping[str, Any], code: str, message: str
) -> None:
    """Missing and impossible parameters, in the words that AWS was heard to say, in both protocols."""

    async def main() -> None:
        bench = Bench()
        named = "QueueUrl" in MODEL.operation_model(action).input_shape.members
        asked = {"QueueUrl": bench.url(bench.jobs), **parameters} if named else parameters
        told = parsed(action, await bench.ask(action, asked))
        assert (told["Code"], told["Message"]) == (code, message)
        form = written(await bench.ask(action, asked, query=True))
        assert (form["Code"], form["Message"]) == (code, message)

    run_virtual(main)


def test_the_protocols_differ_in_a_sentence() -> None:
    """Of a queue that is not there, the Query protocol still speaks of its WSDL."""

    async def main() -> None:
        bench = Bench()
        asked = {"QueueUrl": "http://sqs/123456789012/gone"}
        plain = "The specified queue does not exist"
        assert parsed("PurgeQueue", await bench.ask("PurgeQueue", asked))["Message"] == f"{plain}."
        told = written(await bench.ask("PurgeQueue", asked, query=True))
        assert told["Message"] == f"{plain} for this wsdl version."

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("DelaySeconds", 0, 900),
        ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
        ("MaximumMessageSize", 1_024, 1_048_576),
        ("MessageRetentionPeriod", 60, 1_209_600),
        ("ReceiveMessageWaitTimeSeconds", 0, 20),
        ("VisibilityTimeout", 0, 43_200),
    ],
)
def test_an_attribute_has_its_range(name: str, least: int, most: int) -> None:
    """Both ends are taken, one beyond is refused by name, by CreateQueue and by SetQueueAttributes."""

    async def main() -> None:
        bench = Bench()
        for number, value in enumerate((least, most, least - 1, most + 1, "x", "")):
            asked = {"Attributes": {name: str(value)}}
            made = await bench.ask("CreateQueue", {"QueueName": f"q{number}", **asked})
            changed = await bench.ask("SetQueueAttributes", {"QueueUrl": bench.url(bench.jobs), **asked})
            taken = value in (least, most)
            assert [made.status, changed.status] == [200 if taken else 400] * 2
            for action, answer in (("CreateQueue", made), ("SetQueueAttributes", changed)) if not taken else ():
                told = parsed(action, answer)
                assert (told["Code"], told["Message"]) == (
                    "InvalidAttributeValue",
                    f"Invalid value for the parameter {name}.",
                )

    run_virtual(main)
