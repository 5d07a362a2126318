"""Filter criteria: the matrix of formats source by source, what is refused at creation, what metadata is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.rules.criteria import MAX_FILTERS, FilterCriteria, Source
from sluiceway.rules.patterns import InvalidPattern


def criteria(source: Source, *patterns: object, **options: Any) -> FilterCriteria:
    """Criteria of these patterns, each JSON text or what to write as JSON."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in patterns]
    return FilterCriteria(source, [{"Pattern": text} for text in texts], **options)


def encoded(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def message(body: str) -> dict[str, Any]:
    """An SQS record."""
    return {
        "messageId": "059f36b4",
        "receiptHandle": "AQEBwJ",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SenderId": "AIDA"},
        "messageAttributes": {"kind": {"stringValue": "order", "dataType": "String"}},
        "md5OfBody": "e4e68fb7",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders",
        "awsRegion": "us-east-1",
    }


def shard_record(data: str | bytes) -> dict[str, Any]:
    """A Kinesis record."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "p-1",
            "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
            "data": encoded(data),
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventName": "aws:kinesis:record",
        "awsRegion": "us-east-1",
    }


def change() -> dict[str, Any]:
    """A record of a DynamoDB stream."""
    return {
        "eventID": "1",
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "ApproximateCreationDateTime": 1678831218.0,
            "Keys": {"Id": {"N": "101"}},
            "NewImage": {
                "Id": {"N": "101"},
                "Name": {"S": "Anna"},
                "Tags": {"SS": ["blue", "red"]},
                "Gone": {"NULL": True},
                "Lines": {
                    "L": [{"M": {"sku": {"S": "a"}, "n": {"N": "1"}}}, {"M": {"sku": {"S": "b"}, "n": {"N": "2"}}}]
                },
            },
            "SequenceNumber": "111",
            "SizeBytes": 26,
            "StreamViewType": "NEW_IMAGE",
        },
    }


def topic_record(value: str | bytes | None, key: str | bytes | None = None) -> dict[str, Any]:
    """A Kafka record."""
    return {
        "topic": "orders",
        "partition": 0,
        "offset": 15,
        "timestamp": 1545084650987,
        "timestampType": "CREATE_TIME",
        "key": None if key is None else encoded(key),
        "value": None if value is None else encoded(value),
        "headers": [],
    }


def broker_message(data: str | bytes) -> dict[str, Any]:
    """An MQ message."""
    return {"messageID": "ID:1", "messageType": "jms/text-message", "redelivered": False, "data": encoded(data)}


PLAIN, JSON, NONE = {"body": ["hello"]}, {"body": {"a": [1]}}, {"messageId": ["059f36b4"]}


@pytest.mark.parametrize(
    ("body", "pattern", "kept"),
    [
        ("hello", PLAIN, True),
        ("other", PLAIN, False),
        ("hello", JSON, False),
        ('{"a": 1}', PLAIN, False),
        ('{"a": 1}', JSON, True),
        ('{"a": 2}', JSON, False),
        ("hello", NONE, True),
        ('{"a": 1}', NONE, True),
        ('{"a": 1}', {"messageId": ["another"]}, False),
        # a mismatch drops, even where the pattern alone would match what is not there
        ("hello", {"body": {"a": [{"exists": False}]}}, False),
        ('{"a": 1}', {"body": [{"exists": False}]}, False),
        ('{"b": 1}', {"body": {"a": [{"exists": False}]}}, True),
        ('{"a": 1}', {"body": [{"prefix": "{"}]}, False),
        # arrays are JSON, scalars are text
        ('[{"a": 2}, {"a": 1}]', JSON, True),
        ("[]", PLAIN, False),
        ("123", {"body": ["123"]}, True),
        ("123", {"body": [123]}, False),
        ('"hello"', {"body": ['"hello"']}, True),
        ("null", {"body": [{"anything-but": "x"}]}, True),
        (' \n{"a": 1} ', JSON, True),
        ("{hello", {"body": ["{hello"]}, True),
        ('{"a": NaN}', {"body": [{"prefix": "{"}]}, True),
        ("", {"body": [""]}, True),
        # numbers keep their text
        ('{"a": 9007199254740993}', '{"body": {"a": [9007199254740993]}}', True),
        ('{"a": 9007199254740992}', '{"body": {"a": [9007199254740993]}}', False),
        ('{"a": 3.0e2}', {"body": {"a": [300]}}, True),
    ],
)
def test_sqs_bodies_and_filters_have_one_format(body: str, pattern: object, kept: bool) -> None:
    """Text against text and JSON against JSON is filtered; a mismatch is dropped; metadata alone is always filtered."""
    assert criteria("sqs", pattern).keep(message(body)) is kept


@pytest.mark.parametrize(
    ("data", "pattern", "kept"),
    [
        ('{"a": 1}', {"data": {"a": [1]}}, True),
        ('{"a": 2}', {"data": {"a": [1]}}, False),
        ("hello", {"data": {"a": [1]}}, False),
        ("hello", {"data": {"a": [{"exists": False}]}}, False),
        (b"\xff\xfe", {"data": {"a": [{"exists": False}]}}, False),
        ("", {"data": {"a": [{"exists": False}]}}, False),
        ("17", {"data": {"a": [{"exists": False}]}}, False),
        ("hello", {"partitionKey": ["p-1"]}, True),
        ('{"a": 1}', {"partitionKey": ["p-1"], "data": {"a": [1]}}, True),
        ('{"a": 1}', {"partitionKey": ["p-2"], "data": {"a": [1]}}, False),
        ('{"a": 1}', {"eventName": ["aws:kinesis:record"]}, True),
        ('{"a": 1}', {"approximateArrivalTimestamp": [{"numeric": [">", 1545084650]}]}, True),
        ('{"a": 1}', {"kinesis": {"partitionKey": ["p-1"]}}, False),
        ('{"a": 1}', {"kinesis": {"data": [{"exists": True}]}}, False),
    ],
)
def test_kinesis_data_is_decoded_and_taken_out(data: str | bytes, pattern: object, kept: bool) -> None:
    """Data is JSON in base64 and stands beside the metadata; what is no JSON is dropped by a filter on data."""
    assert criteria("kinesis", pattern).keep(shard_record(data)) is kept


def test_kinesis_data_that_is_no_base64_is_no_json() -> None:
    """Such a record is dropped by a filter on data and kept by one on metadata."""
    record = shard_record("")
    record["kinesis"]["data"] = "***"
    assert criteria("kinesis", {"data": {"a": [{"exists": False}]}}).keep(record) is False
    assert criteria("kinesis", {"partitionKey": ["p-1"]}).keep(record) is True


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ({"eventName": ["INSERT"]}, True),
        ({"eventName": ["REMOVE", "MODIFY"]}, False),
        ({"dynamodb": {"Keys": {"Id": {"N": ["101"]}}}}, True),
        ({"dynamodb": {"NewImage": {"Name": {"S": [{"prefix": "An"}]}}}}, True),
        ({"dynamodb": {"NewImage": {"Name": ["Anna"]}}}, False),  # without its type
        ({"dynamodb": {"NewImage": {"Id": {"N": [101]}}}}, False),  # N is text
        ({"dynamodb": {"NewImage": {"Id": {"N": [{"numeric": [">", 100]}]}}}}, False),
        ({"dynamodb": {"NewImage": {"Id": [{"exists": True}]}}}, False),  # an attribute is no leaf
        ({"dynamodb": {"NewImage": {"Id": [{"exists": False}]}}}, True),
        ({"dynamodb": {"NewImage": {"Id": {"N": [{"exists": True}]}}}}, True),
        ({"dynamodb": {"NewImage": {"Other": {"S": [{"exists": False}]}}}}, True),
        ({"dynamodb": {"NewImage": {"Tags": {"SS": ["red"]}}}}, True),
        ({"dynamodb": {"NewImage": {"Gone": {"NULL": [True]}}}}, True),
        ({"dynamodb": {"NewImage": {"Lines": {"L": {"M": {"sku": {"S": ["a"]}, "n": {"N": ["1"]}}}}}}}, True),
        ({"dynamodb": {"NewImage": {"Lines": {"L": {"M": {"sku": {"S": ["a"]}, "n": {"N": ["2"]}}}}}}}, False),
        ({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 1678831217]}]}}, True),
        ({"dynamodb": {"SizeBytes": [26]}}, True),
        ({"eventName": ["INSERT"], "dynamodb": {"StreamViewType": ["KEYS_ONLY"]}}, False),
    ],
)
def test_dynamodb_filters_name_the_types(pattern: object, kept: bool) -> None:
    """Attributes are typed, numbers are text, `exists` looks at the value under the type."""
    assert criteria("dynamodb", pattern).keep(change()) is kept


@pytest.mark.parametrize(
    ("value", "pattern", "kept"),
    [
        ('{"a": 1}', {"value": {"a": [1]}}, True),
        ('{"a": 2}', {"value": {"a": [1]}}, False),
        ("hello", {"value": ["hello"]}, True),
        ("other", {"value": ["hello"]}, False),
        ("hello", {"value": {"a": [1]}}, True),
        ('{"a": 1}', {"value": ["hello"]}, True),
        (b"\xff", {"value": ["hello"]}, True),
        (b"\xff", {"value": {"a": [1]}}, True),
        ("hello", {"value": {"a": [1]}, "topic": ["orders"]}, True),
        ("hello", {"value": {"a": [1]}, "topic": ["others"]}, False),
        ("hello", {"offset": [15]}, True),
        (None, {"value": [None]}, True),
        (None, {"value": ["hello"]}, False),
        (None, {"value": {"a": [1]}}, False),
    ],
)
def test_kafka_values_of_the_other_format_are_judged_by_their_metadata(
    value: str | bytes | None, pattern: object, kept: bool
) -> None:
    """So they pass where a filter asks about nothing else; a value that is not there (a tombstone) does not."""
    assert criteria("kafka", pattern).keep(topic_record(value)) is kept


def test_kafka_values_that_are_no_base64_are_judged_by_their_metadata() -> None:
    """As what is no UTF-8."""
    record = topic_record("") | {"value": "***"}
    assert criteria("kafka", {"value": ["x"], "topic": ["orders"]}).keep(record) is True
    assert criteria("kafka", {"value": [""], "topic": ["others"]}).keep(record) is False


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("k", '{"a": 1}', True),
        ("j", '{"a": 1}', False),
        ("k", "text", True),  # the value is not looked at, the key is
        ("j", "text", False),
        ('{"k": 1}', '{"a": 1}', True),  # and the other way round
        ('{"k": 1}', '{"a": 2}', False),
        ('{"k": 1}', "text", True),
    ],
)
def test_kafka_keys_and_values_are_judged_each_by_its_format(key: str, value: str, kept: bool) -> None:
    """Only the condition that does not fit is left out, again for each record."""
    filters = criteria("kafka", {"key": ["k"], "value": {"a": [1]}})
    for _ in range(2):
        assert filters.keep(topic_record(value, key)) is kept


@pytest.mark.parametrize(
    ("data", "pattern", "kept"),
    [
        ('{"timeout": 1}', {"data": {"timeout": [{"numeric": [">", 0]}]}}, True),
        ('{"timeout": 0}', {"data": {"timeout": [{"numeric": [">", 0]}]}}, False),
        ("Result: 1", {"data": [{"prefix": "Result: "}]}, True),
        ("Other", {"data": [{"prefix": "Result: "}]}, False),
        ("Other", {"data": {"timeout": [0]}}, True),
        (b"\xff\xfe", {"data": [{"prefix": "Result: "}]}, True),
        (b"\xff\xfe", {"data": [{"prefix": "Result: "}], "redelivered": [True]}, False),
        ("Other", {"redelivered": [False]}, True),
    ],
)
def test_mq_messages(data: str | bytes, pattern: object, kept: bool) -> None:
    """As Kafka's values: a mismatch leaves the metadata to decide."""
    assert criteria("mq", pattern).keep(broker_message(data)) is kept


def test_filters_are_alternatives() -> None:
    """A record that one of the filters matches is kept."""
    filters = criteria("sqs", {"body": {"a": [1]}}, {"body": ["hello"]}, {"attributes": {"SenderId": ["other"]}})
    assert [filters.keep(message(body)) for body in ('{"a": 1}', "hello", '{"a": 2}', "other")] == [
        True,
        True,
        False,
        False,
    ]


def test_or_inside_a_filter_may_mix_formats() -> None:
    """Each of its combinations is judged for itself."""
    filters = criteria("sqs", {"$or": [{"body": {"a": [1]}}, {"body": ["hello"]}, {"messageId": ["another"]}]})
    assert [filters.keep(message(body)) for body in ('{"a": 1}', "hello", '{"a": 2}', "other")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("source", ["sqs", "kinesis", "dynamodb", "kafka", "mq"])
def test_no_filters_keep_everything(source: Source) -> None:
    """An empty FilterCriteria is how filters are taken away."""
    assert FilterCriteria(source, []).keep({}) is True


@pytest.mark.parametrize(
    ("source", "pattern", "reason", "field"),
    [
        ("kinesis", {"data": ["x"]}, "plain-data", "Filters[0].data"),
        ("kinesis", {"data": [{"exists": True}]}, "plain-data", "Filters[0].data"),
        ("kinesis", {"$or": [{"data": {"a": [1]}}, {"data": ["x"]}]}, "plain-data", "Filters[0].data"),
        ("dynamodb", {"dynamodb": ["x"]}, "plain-data", "Filters[0].dynamodb"),
        ("sqs", "hello", "invalid-json", "Filters[0]"),
        ("sqs", "[]", "not-an-object", "Filters[0]"),
        ("sqs", "{}", "empty-object", "Filters[0]"),
        ("sqs", {"body": {}}, "empty-object", "Filters[0].body"),
        ("sqs", {"body": "hello"}, "not-object-or-array", "Filters[0].body"),
        ("sqs", {"body": []}, "empty-array", "Filters[0].body"),
        ("sqs", {"body": {"a": [{"numeric": [">", "1"]}]}}, "operand", "Filters[0].body.a"),
        ("sqs", {"body": ["x" * 4096]}, "too-long", "Filters[0]"),
    ],
)
def test_what_lambda_refuses_is_refused_at_creation(source: Source, pattern: object, reason: str, field: str) -> None:
    """InvalidPattern with the filter's number, the path and the rule."""
    with pytest.raises(InvalidPattern) as caught:
        criteria(source, pattern)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(
    "each", [{}, {"Pattern": None}, {"Pattern": {"body": ["x"]}}, {"Pattern": "{}", "Name": "x"}, "x"]
)
def test_a_filter_is_an_object_with_a_pattern(each: Any) -> None:
    """Anything else is refused, with its number."""
    with pytest.raises(InvalidPattern) as caught:
        FilterCriteria("sqs", [{"Pattern": '{"body": ["x"]}'}, each])
    assert (caught.value.reason, caught.value.field) == ("filter", "Filters[1]")


def test_the_quota_of_filters_is_five_and_may_be_raised() -> None:
    """As AWS raises it to ten."""
    patterns = [{"body": [str(number)]} for number in range(MAX_FILTERS + 1)]
    criteria("sqs", *patterns[:-1])
    criteria("sqs", *patterns, max_filters=10)
    with pytest.raises(InvalidPattern, match="more than 5 filters"):
        criteria("sqs", *patterns)


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        ("sqs", {"messageId": ["x"]}),
        ("kinesis", {"partitionKey": ["x"], "data": {"a": [1]}}),
        ("dynamodb", {"eventName": ["INSERT"]}),
        ("kafka", {"topic": ["x"]}),
        ("kafka", {"key": ["x"]}),
        ("mq", {"redelivered": [True]}),
        ("sqs", {"bodyguard": ["x"]}),
    ],
)
def test_strict_criteria_name_the_data_only(source: Source, pattern: object) -> None:
    """What the documentation names is taken, what works in Lambda besides is refused where it is asked to be."""
    criteria(source, pattern)
    with pytest.raises(InvalidPattern) as caught:
        criteria(source, pattern, strict=True)
    assert caught.value.reason == "not-data"
    data_key = {"sqs": "body", "kinesis": "data", "dynamodb": "dynamodb", "kafka": "value", "mq": "data"}[source]
    criteria(source, {data_key: {"a": [1]}}, strict=True)


def test_another_source_is_a_wrong_deployment() -> None:
    """DocumentDB has no filter criteria."""
    with pytest.raises(Misconfigured):
        FilterCriteria("documentdb", [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record", [{}, {"body": None}, {"body": 1}, {"body": {"a": 1}}, {"body": '{"a": ' + "[" * 5000 + "]" * 5000 + "}"}]
)
def test_records_that_lambda_never_delivers_are_judged_all_the_same(record: dict[str, Any]) -> None:
    """No body, a body that is no text, one nested without end: not kept by a filter on the body, and no error."""
    assert criteria("sqs", {"body": {"a": [1]}}).keep(record) is False


@pytest.mark.parametrize("depth", [102, 400])
def test_data_is_looked_into_as_deeply_as_patterns_go(depth: int) -> None:
    """What lies deeper is not there."""
    body = '{"a": ' + "[" * depth + "1" + "]" * depth + "}"
    assert criteria("sqs", {"body": {"a": [1]}}).keep(message(body)) is False
    assert criteria("sqs", {"body": {"a": [{"exists": False}]}}).keep(message(body)) is True


def test_data_that_patterns_cannot_decide_is_not_kept() -> None:
    """A hostile body costs its own delivery, nothing else."""
    elements = [{f"c{number}": 1} for number in range(9)]
    places: dict[str, object] = {".".join("abcd"): elements, "a": {"b": {"c": {"d": elements}, "c.d": elements}}}
    places |= {"a.b": {"c.d": elements, "c": {"d": elements}}, "a.b.c": {"d": elements}}
    places["a"] |= {"b.c": {"d": elements}, "b.c.d": elements}  # type: ignore[operator]
    pattern = {"body": {"a": {"b": {"c": {"d": {f"c{number}": [1] for number in range(9)}}}}}}
    assert criteria("sqs", pattern).keep(message(json.dumps(places))) is False
