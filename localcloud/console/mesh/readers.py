"""Who reads a stream: event source mappings, with what became of their batches lately.

How far behind a mapping is, is the metric IteratorAge of its function, which Lambda's pollers put at each batch: the
age of its last record when the function got it. What the last batch was, is the function's newest span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from localcloud.console.mesh.cloud import CLOUDWATCH, Cloud, Json
from localcloud.state import RunningState
from localcloud.traces.recorder import Span
from sluiceway.aws.sqs import SQS
from sluiceway.errors import SluicewayError

__all__ = ["Age", "Batches", "count_letters", "describe_reader", "name_stream", "read_ages"]

PERIOD_S: Final = 60
LOOK_BACK_S: Final = 600
MAX_FUNCTIONS: Final = 100
_COUNTED: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class Batches:
    """The newest batch of each function that takes batches, by function name; told of spans as they end."""

    def __init__(self) -> None:
        self._newest: dict[str, Json] = {}

    def hear(self, span: Span) -> None:
        """A span as it begins or ends."""
        if span.kind != "function" or span.end_ms is None or span.detail.get("asynchronous"):
            return
        told = self._newest.get(span.name) or {"batches": 0, "failed": 0}
        self._newest[span.name] = {
            "ended_ms": round(span.end_ms, 3),
            "took_ms": round(span.end_ms - span.start_ms, 3),
            "ok": not span.failed,
            "trace": span.trace,
            "batches": told["batches"] + 1,
            "failed": told["failed"] + span.failed,
        }

    def find(self, function: str) -> Json | None:
        """LAST of the API's docstring; None where none has ended."""
        return self._newest.get(function)


def name_stream(arn: str) -> str:
    """The stream of a stream's or a consumer's ARN, "" for another source's."""
    parts = arn.split(":")
    if len(parts) < 6 or parts[2] != "kinesis":
        return ""
    return parts[5].removeprefix("stream/").partition("/")[0]


class Age(NamedTuple):
    """The highest IteratorAge of a minute, and when that minute began; both in milliseconds, the latter epoch."""

    age_ms: float
    at_ms: float


async def read_ages(cloud: Cloud, functions: Sequence[str], now_s: float) -> dict[str, Age]:
    """Of the newest minute of the last ten that has any, by function. Raises SluicewayError."""
    asked = list(dict.fromkeys(functions))[:MAX_FUNCTIONS]
    if not asked:
        return {}
    queries = [
        {
            "Id": f"a{at}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Lambda",
                    "MetricName": "IteratorAge",
                    "Dimensions": [{"Name": "FunctionName", "Value": name}],
                },
                "Period": PERIOD_S,
                "Stat": "Maximum",
            },
        }
        for at, name in enumerate(asked)
    ]
    request = {"MetricDataQueries": queries, "StartTime": now_s - LOOK_BACK_S, "EndTime": now_s + PERIOD_S}
    told = await cloud.ask(CLOUDWATCH, "GetMetricData", {**request, "ScanBy": "TimestampDescending"})
    found = cast("list[Json]", told["MetricDataResults"])
    return {
        asked[int(each["Id"][1:])]: Age(float(each["Values"][0]), float(each["Timestamps"][0]) * 1000)
        for each in found
        if each["Values"]
    }


async def count_letters(cloud: Cloud, arn: str) -> Json:
    """A dead-letter queue, with about how many letters it has: LETTERS of the API's docstring."""
    name = arn.rpartition(":")[2]
    try:
        url = str((await cloud.ask(SQS, "GetQueueUrl", {"QueueName": name}))["QueueUrl"])
        wanted = {"QueueUrl": url, "AttributeNames": list(_COUNTED)}
        told = cast("Mapping[str, str]", (await cloud.ask(SQS, "GetQueueAttributes", wanted)).get("Attributes") or {})
    except SluicewayError:
        return {"queue": name, "count": None}
    return {"queue": name, "count": sum(int(value) for value in told.values())}


def describe_reader(mapping: Json, state: RunningState, *, age: Age | None, last: Json | None) -> Json:
    """READER of the API's docstring."""
    name = str(mapping["FunctionArn"]).split(":")[6]
    ids = {physical: logical for logical, physical in state.functions.items()}
    arn = str(mapping.get("EventSourceArn") or "")
    failures = cast("Json", cast("Json", mapping.get("DestinationConfig") or {}).get("OnFailure") or {})
    filters = cast("list[Json]", cast("Json", mapping.get("FilterCriteria") or {}).get("Filters") or [])
    return {
        "id": mapping["UUID"],
        "stream": name_stream(arn),
        "function": ids.get(name, name),
        "state": mapping["State"],
        "consumer": arn.split("/consumer/")[1].partition(":")[0] if "/consumer/" in arn else None,
        "position": mapping.get("StartingPosition"),
        "batch_size": mapping.get("BatchSize"),
        "window_s": mapping.get("TumblingWindowInSeconds") or 0,
        "filters": [str(each.get("Pattern")) for each in filters],
        "last_result": mapping.get("LastProcessingResult"),
        "age_ms": None if age is None else age.age_ms,
        "age_at_ms": None if age is None else age.at_ms,
        "last": last,
        "letters": str(failures.get("Destination") or "").rpartition(":")[2] or None,
    }
