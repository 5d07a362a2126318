"""DynamoDB Streams event source mapping: a batch of one shard's changes in, a partial batch response out.

Numbers are exact: an integer literal reads as `int`, any other as `Decimal`, as `sluiceway.aws.dynamodb` reads items.
Source: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from typing import Any, Final, cast

from sluiceway.codec import kinesis
from sluiceway.codec.kinesis import read_records, read_sequence_number, read_time_ms
from sluiceway.codec.shape import integer, malformed, mapping, optional_mapping, optional_text, text
from sluiceway.events.dynamodb import DynamoDbBatch, DynamoDbRecord
from sluiceway.events.sqs import BatchReport

__all__ = ["correlation_id", "decode", "encode", "read_item"]

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
MIN_ADJUSTED: Final = -130
MAX_ADJUSTED: Final = 125
MAX_NUMBER_TEXT: Final = 256  # 1E-130 written out has 132 characters
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (nested attribute depth)
MAX_DEPTH: Final = 32
MAX_KEYS: Final = 2  # a partition key, and a sort key
CHANGES: Final = frozenset({"INSERT", "MODIFY", "REMOVE"})
EXPIRY: Final = "dynamodb.amazonaws.com"  # who removes what has expired
# Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE: Final = re.compile(r"-?\d{1,126}", re.ASCII)


def decode(raw: object) -> DynamoDbBatch:
    """The batch, in the shard's order: at most 10,000 changes of one table.

    Raises: Rejected (`malformed-event`); Misconfigured where the mapping has a tumbling window.
    """
    decoded: list[DynamoDbRecord] = []
    for index, fields in read_records(raw, "aws:dynamodb"):
        record = _record(fields, f"Records[{index}]")
        if decoded and record.stream_arn != decoded[0].stream_arn:
            raise malformed(f"Records[{index}].eventSourceARN", "the first record's: a batch is of one stream")
        decoded.append(record)
    return DynamoDbBatch(tuple(decoded))


def encode(reply: BatchReport) -> dict[str, object]:
    """The partial batch response, for a mapping with ReportBatchItemFailures.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    return kinesis.encode(reply)


def correlation_id(event: DynamoDbBatch) -> str:
    """Always "": a change has none, unless its item says so."""
    del event
    return ""


def read_item(value: object, member: str) -> dict[str, object]:
    """Attributes in Python, of an item in DynamoDB's JSON.

    Raises: Rejected (`malformed-event`), whose `field` is `member` with the attribute's name.
    """
    found: dict[str, object] = {}
    for name, attribute in mapping(value, member).items():
        try:
            found[name] = _read(attribute, 0)
        except _AttributeError as error:
            raise malformed(f"{member}.{name}", str(error)) from error
    return found


class _AttributeError(Exception):
    """What an attribute value should have been; never what it was."""


def _record(fields: Mapping[str, object], place: str) -> DynamoDbRecord:
    change = text(fields.get("eventName"), f"{place}.eventName")
    if change not in CHANGES:
        raise malformed(f"{place}.eventName", "INSERT, MODIFY or REMOVE")
    stream, inner = mapping(fields.get("dynamodb"), f"{place}.dynamodb"), f"{place}.dynamodb"
    keys = read_item(stream.get("Keys"), f"{inner}.Keys")
    if not 1 <= len(keys) <= MAX_KEYS:
        raise malformed(f"{inner}.Keys", "a key of one or two attributes")
    return DynamoDbRecord(
        sequence_number=read_sequence_number(stream.get("SequenceNumber"), f"{inner}.SequenceNumber"),
        event_id=text(fields.get("eventID"), f"{place}.eventID"),
        change=change,
        keys=keys,
        item=_identify(keys, f"{inner}.Keys"),
        stream_arn=text(fields.get("eventSourceARN"), f"{place}.eventSourceARN"),
        new_image=_image(stream.get("NewImage"), f"{inner}.NewImage"),
        old_image=_image(stream.get("OldImage"), f"{inner}.OldImage"),
        changed_ms=_optional_time_ms(stream, inner),
        size_bytes=integer(stream.get("SizeBytes", 0), f"{inner}.SizeBytes"),
        view=optional_text(stream.get("StreamViewType"), f"{inner}.StreamViewType"),
        expired=optional_mapping(fields.get("userIdentity"), f"{place}.userIdentity").get("principalId") == EXPIRY,
    )


def _optional_time_ms(stream: Mapping[str, object], place: str) -> int:
    return read_time_ms(stream.get("ApproximateCreationDateTime", 0), f"{place}.ApproximateCreationDateTime")


def _image(value: object, member: str) -> dict[str, object] | None:
    return None if value is None else read_item(value, member)


def _identify(keys: Mapping[str, object], member: str) -> Hashable:
    """One key alone is its value; with two, the names say which is which."""
    if not all(
        isinstance(value, str | int | Decimal | bytes) and not isinstance(value, bool) for value in keys.values()
    ):
        raise malformed(member, "a key of strings, numbers or binaries")
    if len(keys) == 1:
        return cast("Hashable", next(iter(keys.values())))
    return tuple(sorted(keys.items(), key=lambda item: item[0]))


def _read(attribute: Any, depth: int) -> object:
    members: dict[str, Any] = attribute
    if type(attribute) is not dict or len(members) != 1:
        raise _AttributeError("an attribute value: an object with exactly one type descriptor")
    ((kind, content),) = members.items()
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple(content)
    if depth >= MAX_DEPTH:
        raise _AttributeError(f"nested at most {MAX_DEPTH} levels deep")
    if kind == "M" and type(content) is dict:
        return {name: _read(inner, depth + 1) for name, inner in cast("dict[str, Any]", content).items()}
    if kind == "L" and type(content) is list:
        return [_read(inner, depth + 1) for inner in cast("list[Any]", content)]
    raise _AttributeError("of a type that DynamoDB has, with a value of it")


def _text(content: Any) -> str:
    if type(content) is not str:
        raise _AttributeError("a string, written as one")
    return content


def _number(content: Any) -> int | Decimal:
    literal = _text(content)
    if _WHOLE.fullmatch(literal):
        return int(literal)
    if len(literal) > MAX_NUMBER_TEXT or not _NUMBER.fullmatch(literal):
        raise _AttributeError("a number")
    number = Decimal(literal)
    if number and not MIN_ADJUSTED <= number.adjusted() <= MAX_ADJUSTED:
        raise _AttributeError("a number from 1E-130 to 9.9999999999999999999999999999999999999E+125")
    return number


def _binary(content: Any) -> bytes:
    try:
        return binascii.a2b_base64(_text(content), strict_mode=True)
    except ValueError as error:
        raise _AttributeError("base64") from error


def _bool(content: Any) -> bool:
    if type(content) is not bool:
        raise _AttributeError("a boolean")
    return content


def _null(content: Any) -> None:
    if content is not True:
        raise _AttributeError("null, written as true")


def _set(member: Callable[[Any], object]) -> Callable[[Any], object]:
    def read(content: Any) -> object:
        if type(content) is not list:
            raise _AttributeError("a set, written as an array")
        return {member(each) for each in cast("list[Any]", content)}

    return read


_SIMPLE: Final[Mapping[str, Callable[[Any], object]]] = {
    "S": _text,
    "N": _number,
    "B": _binary,
    "BOOL": _bool,
    "NULL": _null,
    "SS": _set(_text),
    "NS": _set(_number),
    "BS": _set(_binary),
}
