"""The job ports on AWS: records in a DynamoDB table, large results in an S3 bucket, poison and returns in SQS queues.

Owns the item's attributes and the compare-and-set conditions. Must not know a job's rules: which state may follow which
is the flow's. The table's key is `job_id`, its TTL attribute `expires_s`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from sluiceway.aws.attributes import Value, read_integer, read_mapping, read_text
from sluiceway.aws.dynamodb import Expression, Table, found_item, set_all
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.sqs import MAX_ATTRIBUTES, MAX_MESSAGE_BYTES, Queue
from sluiceway.errors import ConditionFailed, Rejected
from sluiceway.ports import JobRecord

__all__ = ["DynamoDbJobStore", "S3BlobStore", "SqsDeadLetters", "SqsRedelivery", "fit_attributes"]

MAX_DETAIL: Final = 1_000  # characters: a sentence, not a payload
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_UNSENDABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_FREE: Final = Expression("attribute_not_exists(#job_id)", names={"#job_id": "job_id"})
_EXISTS: Final = Expression("attribute_exists(#job_id)", names={"#job_id": "job_id"})
_COUNT: Final = Expression("ADD #conflicts :one", names={"#conflicts": "conflicts"}, values={":one": 1})


class DynamoDbJobStore:
    """Job records in one table. Raises what `Table` raises."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, job_id: str) -> JobRecord | None:
        """The record as last written (strongly consistent), or None."""
        item = await self._table.get_item({"job_id": job_id})
        return None if item is None else _read(item)

    async def create(self, record: JobRecord) -> JobRecord | None:
        """Write `record` if the id is free. Returns None when it was, else the record already there."""
        try:
            await self._table.put_item(_write(record), condition=_FREE)
        except ConditionFailed as error:
            item = found_item(error)
            return _read(item) if item else await self.get(record.job_id)
        return None

    async def replace(self, record: JobRecord, *, seen: JobRecord) -> bool:
        """Write `record` if `seen` (state, attempt, lease_owner) is still what is stored, or `record` is already."""
        attributes = _write(record)
        del attributes["job_id"]
        if record.created_ms == seen.created_ms:
            del attributes["conflicts"]
        try:
            await self._table.update_item(
                {"job_id": record.job_id}, set_all(attributes), condition=_unchanged_since(seen)
            )
        except ConditionFailed as error:
            item = found_item(error)
            return item is not None and _same_write(_read(item), record)
        return True

    async def note_conflict(self, job_id: str) -> None:
        """Count one message that carried this id and another body; nothing where the record is gone by now."""
        try:
            await self._table.update_item({"job_id": job_id}, _COUNT, condition=_EXISTS)
        except ConditionFailed:
            return


class S3BlobStore:
    """Blobs in one bucket. Raises what `Bucket` raises."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store `body` under `key`, replacing what was there."""
        await self._bucket.put(key, body, content_type=content_type)

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None."""
        found = await self._bucket.get(key)
        return None if found is None else found.body


class SqsDeadLetters:
    """Poison in one queue. Raises what `Queue` raises."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        """Keep `body` whole, with `reason` and `detail` beside as many of the original attributes as fit.

        Raises `Rejected` (reason `dead-letter-too-large`) where body and reason alone do not fit a message.
        """
        await self._queue.send(body, attributes=fit_attributes(body, reason, detail=detail, attributes=attributes))


class SqsRedelivery:
    """Messages of one queue, by the receipt handles of their deliveries. Raises what `Queue` raises."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def return_after(self, receipt_handle: str, delay_s: int) -> None:
        """Let the message be delivered again once `delay_s` seconds have passed, 0 at once."""
        await self._queue.change_visibility(receipt_handle, delay_s)


def fit_attributes(body: str, reason: str, *, detail: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes of a dead letter: reason first, then the original ones, then the detail, within SQS's limits.

    At most 10 attributes, and 1,048,576 bytes with the body (each counts its name, type and value). Originals named
    `reason` or `detail` give way. Empty values cannot be sent. A character that SQS refuses is U+FFFD: what a record
    says of itself must not keep it from being buried. Raises `Rejected` (`dead-letter-too-large`).
    """
    left = MAX_MESSAGE_BYTES - len(body.encode("utf-8", "surrogatepass"))
    fitted: dict[str, str] = {}
    originals = {name: value for name, value in attributes.items() if name not in {"reason", "detail"}}
    for name, text in {"reason": reason, **originals, "detail": detail[:MAX_DETAIL]}.items():
        value = _UNSENDABLE.sub("\ufffd", text)
        size = len(name.encode()) + len("String") + len(value.encode("utf-8", "surrogatepass"))
        reserved = 0 if name == "detail" else 1  # the detail's own place, kept while there are others
        if not value or size > left or len(fitted) + reserved >= MAX_ATTRIBUTES:
            continue
        fitted[name] = value
        left -= size
    if "reason" not in fitted:
        raise Rejected("the message and its reason do not fit a message", reason="dead-letter-too-large")
    return fitted


def _same_write(stored: JobRecord, record: JobRecord) -> bool:
    return (stored.state, stored.attempt, stored.lease_owner, stored.updated_ms) == (
        record.state,
        record.attempt,
        record.lease_owner,
        record.updated_ms,
    )


def _unchanged_since(seen: JobRecord) -> Expression:
    return Expression(
        "#state = :seen_state AND #attempt = :seen_attempt AND #lease_owner = :seen_owner",
        names={"#state": "state", "#attempt": "attempt", "#lease_owner": "lease_owner"},
        values={":seen_state": seen.state, ":seen_attempt": seen.attempt, ":seen_owner": seen.lease_owner},
    )


def _write(record: JobRecord) -> dict[str, Value]:
    return {
        "job_id": record.job_id,
        "owner": record.owner,
        "state": record.state,
        "body_sha256": record.body_sha256,
        "created_ms": record.created_ms,
        "updated_ms": record.updated_ms,
        "attempt": record.attempt,
        "lease_owner": record.lease_owner,
        "lease_until_ms": record.lease_until_ms,
        "final": record.final,
        "result": cast("Mapping[str, Value] | None", record.result),
        "result_key": record.result_key,
        "problem": cast("Mapping[str, Value] | None", record.problem),
        "conflicts": record.conflicts,
        "correlation_id": record.correlation_id,
        "expires_s": record.expires_s,
    }


def _read(item: Mapping[str, Value]) -> JobRecord:
    return JobRecord(
        job_id=read_text(item, "job_id"),
        owner=read_text(item, "owner"),
        state=read_text(item, "state"),
        body_sha256=read_text(item, "body_sha256"),
        created_ms=read_integer(item, "created_ms"),
        updated_ms=read_integer(item, "updated_ms"),
        attempt=read_integer(item, "attempt"),
        lease_owner=read_text(item, "lease_owner"),
        lease_until_ms=read_integer(item, "lease_until_ms"),
        final=item.get("final") is True,
        result=read_mapping(item, "result"),
        result_key=read_text(item, "result_key"),
        problem=read_mapping(item, "problem"),
        conflicts=read_integer(item, "conflicts"),
        correlation_id=read_text(item, "correlation_id"),
        expires_s=read_integer(item, "expires_s"),
    )
