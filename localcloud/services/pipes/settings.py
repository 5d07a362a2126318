"""What a pipe is to do: a request of the right shape as settings, and what is refused of it. Pure.

Sources: https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_CreatePipe.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html (what targets take at once)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from localcloud.compute.event_source_sqs import MAX_BATCH_FIFO, SqsMappingConfig
from localcloud.compute.stream_config import StreamMappingConfig
from localcloud.compute.stream_source import Start, StartKind
from localcloud.services.pipes.errors import not_served, validation
from localcloud.services.pipes.inputs import InputTemplate
from localcloud.services.pipes.target_settings import TargetSettings, read_target
from sluiceway.rules import patterns
from sluiceway.rules.criteria import FilterCriteria
from sluiceway.rules.patterns import PIPES, InvalidPattern

__all__ = ["Kind", "PipeName", "PipeSettings", "read_settings"]

Kind: TypeAlias = Literal["sqs", "kinesis", "dynamodb"]

_SOURCE: Final = "Invalid source parameter provided for source."
_BLOCKS: Final[Mapping[Kind, str]] = {
    "dynamodb": "DynamoDBStreamParameters",
    "kinesis": "KinesisStreamParameters",
    "sqs": "SqsQueueParameters",
}
_DEFAULT_BATCH: Final[Mapping[Kind, int]] = {"dynamodb": 1, "kinesis": 1, "sqs": 10}  # the CDK's aws-pipes-sources
_ELSEWHERE: Final = frozenset({"kafka", "mq"})
_ENRICHERS: Final = frozenset({"events", "execute-api"})


class PipeName(NamedTuple):
    """Which pipe it is."""

    name: str
    arn: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeSettings:
    """A pipe's settings, checked. `enrichment_arn` and `dead_letter_arn` "" where there is none."""

    pipe: PipeName
    role_arn: str
    source_arn: str
    kind: Kind
    poller: SqsMappingConfig | StreamMappingConfig
    criteria: FilterCriteria | None
    dead_letter_arn: str
    enrichment_arn: str
    enrichment_input: InputTemplate | None
    target: TargetSettings


def read_settings(values: Mapping[str, Any], pipe: PipeName) -> PipeSettings:
    """The settings in a CreatePipe request. Raises PipesError."""
    source_arn: str = values["Source"]
    kind = _kind_of(source_arn, pipe.region)
    sources: Mapping[str, Any] = values.get("SourceParameters", {})
    for other, name in _BLOCKS.items():
        if name in sources and other != kind:
            raise validation(_SOURCE)
    block: Mapping[str, Any] = sources.get(_BLOCKS[kind], {})
    target = read_target(values["Target"], values.get("TargetParameters", {}), pipe.region)
    _check_batch(block, kind, source_arn, most=target.max_batch)
    enrichment: Mapping[str, Any] = values.get("EnrichmentParameters", {})
    return PipeSettings(
        pipe=pipe,
        role_arn=values["RoleArn"],
        source_arn=source_arn,
        kind=kind,
        poller=_read_poller(block, kind),
        criteria=_read_criteria(sources, kind),
        dead_letter_arn=_read_dead_letters(block, pipe.region),
        enrichment_arn=_read_enrichment(values.get("Enrichment", ""), pipe.region),
        enrichment_input=InputTemplate(enrichment["InputTemplate"]) if enrichment.get("InputTemplate") else None,
        target=target,
    )


def _kind_of(arn: str, region: str) -> Kind:
    if arn.startswith("smk://"):
        raise not_served("Sources in Apache Kafka are")
    _, _, service, source_region, _, rest = arn.split(":", 5)
    if service in _ELSEWHERE:
        raise not_served(f"Sources of the service {service} are")
    if source_region != region:
        raise validation("Creating cross-region pipe is not permitted.")
    if service == "sqs":
        return "sqs"
    if service == "kinesis" and rest.startswith("stream/") and rest.count("/") == 1:
        return "kinesis"
    if service == "dynamodb" and "/stream/" in rest:
        return "dynamodb"
    raise validation(_SOURCE)


def _check_batch(block: Mapping[str, Any], kind: Kind, source_arn: str, *, most: int) -> None:
    size = block.get("BatchSize", _DEFAULT_BATCH[kind])
    if kind == "sqs" and source_arn.endswith(".fifo"):
        if block.get("MaximumBatchingWindowInSeconds"):
            raise validation("Batching window is not supported for FIFO queues")
        most = min(most, MAX_BATCH_FIFO)
    if size > most:
        raise validation(f"The configured batch size {size} is greater than the max supported {most}.")


def _read_poller(block: Mapping[str, Any], kind: Kind) -> SqsMappingConfig | StreamMappingConfig:
    size, window_s = block.get("BatchSize", _DEFAULT_BATCH[kind]), block.get("MaximumBatchingWindowInSeconds", 0)
    if kind == "sqs":
        return SqsMappingConfig(batch_size=size, window_s=window_s, report_failures=True)
    if "StartingPosition" not in block:
        raise validation(f"{_BLOCKS[kind]}.StartingPosition is required for the source.")
    position = StartKind(block["StartingPosition"])
    if (position is StartKind.AT_TIMESTAMP) != ("StartingPositionTimestamp" in block):
        raise validation("StartingPositionTimestamp goes with the StartingPosition AT_TIMESTAMP, and with no other.")
    return StreamMappingConfig(
        start=Start(position, timestamp_s=float(block.get("StartingPositionTimestamp", 0))),
        batch_size=size,
        window_s=window_s,
        parallelization=block.get("ParallelizationFactor", 1),
        bisect="OnPartialBatchItemFailure" in block,
        max_retries=block.get("MaximumRetryAttempts", -1),
        max_record_age_s=block.get("MaximumRecordAgeInSeconds", -1),
        report_failures=True,
    )


def _read_criteria(sources: Mapping[str, Any], kind: Kind) -> FilterCriteria | None:
    filters = sources.get("FilterCriteria", {}).get("Filters", [])
    try:
        for each in filters:
            patterns.compile(each.get("Pattern", ""), limits=PIPES)
        return FilterCriteria(kind, filters) if filters else None
    except InvalidPattern as error:
        raise validation(f"Invalid Event Pattern. Reason: {error}") from error


def _read_dead_letters(block: Mapping[str, Any], region: str) -> str:
    arn: str = block.get("DeadLetterConfig", {}).get("Arn", "")
    if not arn:
        return ""
    service, arn_region = arn.split(":")[2:4]
    if service not in {"sns", "sqs"} or arn_region != region or arn.endswith(".fifo"):
        raise validation("A dead-letter queue is a standard SQS queue or a standard SNS topic of the pipe's Region.")
    return arn


def _read_enrichment(arn: str, region: str) -> str:
    if not arn:
        return ""
    service, arn_region = arn.split(":")[2:4]
    if service in _ENRICHERS:
        raise not_served(f"Enrichments by the service {service} are")
    if service not in {"lambda", "states"}:
        raise validation("Invalid pipe enrichment.")
    if arn_region != region:
        raise validation("Creating cross-region pipe is not permitted.")
    return arn
