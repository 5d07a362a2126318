"""The invocation record of a batch that was given up: what a failure destination gets. Pure.

As AWS sends it: a batch that grew too old has no `responseContext` and counts one invocation, however often it was
tried; times of DynamoDB records are whole seconds; a batch that failed by its own report has `functionError` null.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html (the documents), recordings of AWS:
https://github.com/localstack/localstack, tests/aws/services/lambda_/event_source_mapping/*kinesis.snapshot.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_batches import Item

__all__ = ["Condition", "Discarded", "build_document"]


class Condition(Enum):
    """Why a batch was given up."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """A batch that was given up. `window`: what its tumbling window's event said, for the end of a window."""

    condition: Condition
    records: Sequence[Item]
    shard_id: str
    request_id: str
    invocations: int
    result: InvokeResult | None
    window: Mapping[str, Any] | None = None


def build_document(
    given_up: Discarded, *, kind: str, source_arn: str, function_arn: str, now_s: float
) -> dict[str, Any]:
    """The document, in the order of AWS's. `kind`: "kinesis" or "dynamodb"."""
    aged = given_up.condition is Condition.AGE
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": given_up.request_id,
            "functionArn": function_arn,
            "condition": given_up.condition.value,
            "approximateInvokeCount": 1 if aged else max(1, given_up.invocations),
        }
    }
    if given_up.result is not None and not aged:
        document["responseContext"] = {
            "statusCode": given_up.result.status,
            "executedVersion": given_up.result.version,
            "functionError": given_up.result.function_error or None,
        }
    document["version"] = "1.0"
    document["timestamp"] = _date(now_s, "milliseconds")
    name = "KinesisBatchInfo" if kind == "kinesis" else "DDBStreamBatchInfo"
    document[name] = _batch_info(given_up, source_arn, "milliseconds" if kind == "kinesis" else "seconds")
    if given_up.window is not None:
        document["timeWindowInfo"] = dict(given_up.window)
    return document


def _batch_info(given_up: Discarded, source_arn: str, timespec: str) -> dict[str, Any]:
    records = given_up.records
    info: dict[str, Any] = {"shardId": given_up.shard_id}
    if records:
        info |= {
            "startSequenceNumber": records[0].sequence,
            "endSequenceNumber": records[-1].sequence,
            "approximateArrivalOfFirstRecord": _date(records[0].arrived_s, timespec),
            "approximateArrivalOfLastRecord": _date(records[-1].arrived_s, timespec),
        }
    return {**info, "batchSize": len(records), "streamArn": source_arn}


def _date(epoch_s: float, timespec: str) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
