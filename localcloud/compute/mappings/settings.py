"""The settings of an event source mapping, read in the words of CreateEventSourceMapping and checked. Pure.

CloudFormation has the same words, so a template and the API are read here alike. What one kind of source does not take
is refused by name, as Lambda refuses it.
Sources: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html, services-kinesis-parameters.html,
services-ddb-params.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from localcloud.compute.event_source_sqs import MAX_BATCH_FIFO, SqsMappingConfig
from localcloud.compute.stream_config import FOREVER, StreamMappingConfig
from localcloud.compute.stream_source import Start, StartKind
from localcloud.template.properties import Properties
from sluiceway.rules.criteria import FilterCriteria, Source
from sluiceway.rules.patterns import InvalidPattern

__all__ = ["STREAM_SETTINGS", "MappingSettings", "kind_of_source", "read_settings"]

MAX_BATCH: Final = 10_000  # BatchSize of standard queues and of streams
MAX_BATCH_WITHOUT_WINDOW: Final = 10  # services-sqs-parameters
MAX_WINDOW_S: Final = 300
MAX_FILTERS: Final = 10  # invocation-eventfiltering: five, and ten by a higher quota
MAX_AGE_S: Final = 604_800
MIN_AGE_S: Final = 60
MAX_RETRIES: Final = 10_000
MAX_POLLERS: Final = 10_000  # API_ProvisionedPollerConfig, of SQS; older SDKs have 2,000
_QUEUE_SETTINGS: Final = ("ScalingConfig", "ProvisionedPollerConfig")
STREAM_SETTINGS: Final = (
    "StartingPosition",
    "StartingPositionTimestamp",
    "ParallelizationFactor",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "DestinationConfig",
    "TumblingWindowInSeconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """What a mapping is told. `criteria` None where nothing is filtered, `destination_arn` "" where there is none."""

    poller: SqsMappingConfig | StreamMappingConfig
    criteria: FilterCriteria | None = None
    destination_arn: str = ""


def kind_of_source(arn: str) -> Source | None:
    """What an event source's ARN names: "sqs", "kinesis" (also a consumer), "dynamodb"; None for what is none."""
    service = arn.split(":", 3)[2] if arn.count(":") >= 5 else ""
    if service == "dynamodb":
        return "dynamodb" if "/stream/" in arn else None
    return next((kind for kind in ("sqs", "kinesis") if kind == service), None)


def read_settings(read: Properties, source_arn: str, *, now_s: float) -> MappingSettings:
    """The settings of a mapping from `source_arn`. `now_s`: epoch seconds, before which a start must lie.

    Raises TemplateError that names the property.
    """
    kind = kind_of_source(source_arn)
    if kind is None:
        raise read.error("EventSourceArn", f"{source_arn} is no queue, stream or consumer: it is not served here")
    for name in STREAM_SETTINGS if kind == "sqs" else _QUEUE_SETTINGS:
        if name in read and read.values[name] not in ({}, {"OnFailure": {}}):
            raise read.error(name, f"Unsupported {name} parameter for given event source mapping type.")
    if read.nested("DestinationConfig").nested("OnSuccess").text("Destination", ""):
        raise read.error("DestinationConfig", "OnSuccess is not supported for event source mappings")
    if kind == "sqs":
        poller = _read_queue(read, is_fifo=source_arn.endswith(".fifo"))
        return MappingSettings(poller=poller, criteria=_read_criteria(read, kind))
    return MappingSettings(
        poller=_read_stream(read, kind, now_s=now_s),
        criteria=_read_criteria(read, kind),
        destination_arn=read.nested("DestinationConfig").nested("OnFailure").text("Destination", ""),
    )


def _read_queue(read: Properties, *, is_fifo: bool) -> SqsMappingConfig:
    window_s = read.integer("MaximumBatchingWindowInSeconds", 0, low=0, high=MAX_WINDOW_S)
    batch_size = read.integer("BatchSize", MAX_BATCH_WITHOUT_WINDOW, low=1, high=MAX_BATCH)
    if is_fifo and window_s:
        raise read.error("MaximumBatchingWindowInSeconds", "Batching window is not supported for FIFO queues")
    if is_fifo and batch_size > MAX_BATCH_FIFO:
        raise read.error("BatchSize", f"must be from 1 to {MAX_BATCH_FIFO} for a FIFO queue, is {batch_size}")
    if batch_size > MAX_BATCH_WITHOUT_WINDOW and not window_s:
        detail = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        raise read.error("BatchSize", detail)
    scaling = read.nested("ScalingConfig")
    limit = scaling.integer("MaximumConcurrency", low=2, high=1000) if "MaximumConcurrency" in scaling else None
    fewest, most = _read_pollers(read, limit)
    return SqsMappingConfig(
        batch_size=batch_size,
        window_s=window_s,
        max_concurrency=limit,
        report_failures=_reports(read),
        minimum_pollers=fewest,
        maximum_pollers=most,
    )


def _read_pollers(read: Properties, limit: int | None) -> tuple[int | None, int | None]:
    """Provisioned mode: (fewest, most) pollers, (None, None) without it."""
    provisioned = read.nested("ProvisionedPollerConfig")
    if not provisioned.values:
        return None, None
    if limit is not None:
        detail = "MaximumConcurrency and ProvisionedPollerConfig exclude each other"
        raise read.error("ProvisionedPollerConfig", detail)
    fewest = provisioned.integer("MinimumPollers", 2, low=2, high=200)
    most = provisioned.integer("MaximumPollers", max(200, fewest), low=2, high=MAX_POLLERS)
    if most < fewest:
        raise provisioned.error("MaximumPollers", f"must be at least MinimumPollers, {fewest}, is {most}")
    return fewest, most


def _read_stream(read: Properties, kind: Source, *, now_s: float) -> StreamMappingConfig:
    max_age_s = read.integer("MaximumRecordAgeInSeconds", FOREVER, low=FOREVER, high=MAX_AGE_S)
    if FOREVER < max_age_s < MIN_AGE_S:
        detail = f"must be -1 or from {MIN_AGE_S} to {MAX_AGE_S}, is {max_age_s}"
        raise read.error("MaximumRecordAgeInSeconds", detail)
    return StreamMappingConfig(
        start=_read_start(read, kind, now_s=now_s),
        batch_size=read.integer("BatchSize", 100, low=1, high=MAX_BATCH),
        window_s=read.integer("MaximumBatchingWindowInSeconds", 0, low=0, high=MAX_WINDOW_S),
        parallelization=read.integer("ParallelizationFactor", 1, low=1, high=10),
        bisect=read.flag("BisectBatchOnFunctionError", default=False),
        max_retries=read.integer("MaximumRetryAttempts", FOREVER, low=FOREVER, high=MAX_RETRIES),
        max_record_age_s=max_age_s,
        tumbling_window_s=read.integer("TumblingWindowInSeconds", 0, low=0, high=900),
        report_failures=_reports(read),
    )


def _read_start(read: Properties, kind: Source, *, now_s: float) -> Start:
    kinds = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP") if kind == "kinesis" else ("TRIM_HORIZON", "LATEST")
    chosen = StartKind(read.choice("StartingPosition", kinds))
    if chosen is not StartKind.AT_TIMESTAMP:
        if "StartingPositionTimestamp" in read:
            raise read.error("StartingPositionTimestamp", "goes with the StartingPosition AT_TIMESTAMP only")
        return Start(chosen)
    at_s = read.number("StartingPositionTimestamp")
    if not 0 <= at_s <= now_s:  # NaN is refused as well
        raise read.error("StartingPositionTimestamp", "must not lie in the future, nor before 1970")
    return Start(chosen, timestamp_s=at_s)


def _read_criteria(read: Properties, kind: Source) -> FilterCriteria | None:
    nested = read.nested("FilterCriteria")
    filters = [{"Pattern": each.text("Pattern")} for each in nested.each("Filters")]
    if not filters:
        return None
    try:
        return FilterCriteria(kind, filters, max_filters=MAX_FILTERS)
    except InvalidPattern as error:
        raise read.error("FilterCriteria", f"Invalid filter pattern definition. {error}") from error


def _reports(read: Properties) -> bool:
    types = read.texts("FunctionResponseTypes")
    if set(types) - {"ReportBatchItemFailures"} or len(types) > 1:
        raise read.error("FunctionResponseTypes", "may hold ReportBatchItemFailures, once")
    return bool(types)
