"""The settings of a pipe, as what polls for it gets them."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.compute.event_source_sqs import SqsMappingConfig
from localcloud.compute.stream_config import StreamMappingConfig
from localcloud.compute.stream_source import Start, StartKind
from localcloud.services.pipes.errors import PipesError
from localcloud.services.pipes.settings import PipeName, PipeSettings, read_settings
from tests.unit.pipes_setup import ACCOUNT, DEAD, PIPE, QUEUE, REGION, STREAM, TOPIC, pipe

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t/stream/2027-01-15T08:00:00.000"
LATEST = Start(StartKind.LATEST)


def settings_of(source: str, block: str = "", **members: Any) -> PipeSettings:
    sources = {"SourceParameters": {block: members}} if block else {}
    return read_settings({**pipe(), "Source": source, **sources}, PipeName("p", PIPE, REGION))


def test_a_queue_has_the_batches_that_are_asked_for() -> None:
    """Ten messages at once where nothing is said; failures are always reported."""
    assert settings_of(QUEUE).poller == SqsMappingConfig(batch_size=10, report_failures=True)
    asked = settings_of(QUEUE, "SqsQueueParameters", BatchSize=3, MaximumBatchingWindowInSeconds=7)
    assert asked.poller == SqsMappingConfig(batch_size=3, window_s=7, report_failures=True)


@pytest.mark.parametrize(
    ("source", "block"), [(STREAM, "KinesisStreamParameters"), (TABLE, "DynamoDBStreamParameters")]
)
def test_a_stream_has_every_setting_of_its_mapping(source: str, block: str) -> None:
    """One record at once where nothing is said, tried until it expires; else what is asked for."""
    plain = settings_of(source, block, StartingPosition="LATEST")
    assert plain.poller == StreamMappingConfig(start=LATEST, batch_size=1, report_failures=True)
    asked = settings_of(
        source,
        block,
        StartingPosition="TRIM_HORIZON",
        BatchSize=9,
        MaximumBatchingWindowInSeconds=7,
        ParallelizationFactor=3,
        OnPartialBatchItemFailure="AUTOMATIC_BISECT",
        MaximumRetryAttempts=5,
        MaximumRecordAgeInSeconds=60,
    )
    assert asked.poller == StreamMappingConfig(
        start=Start(StartKind.TRIM_HORIZON),
        batch_size=9,
        window_s=7,
        parallelization=3,
        bisect=True,
        max_retries=5,
        max_record_age_s=60,
        report_failures=True,
    )


def test_a_kinesis_stream_may_be_read_from_a_date_on() -> None:
    """In seconds since 1970."""
    read = settings_of(
        STREAM, "KinesisStreamParameters", StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=1.5e9
    )
    assert read.poller == StreamMappingConfig(
        start=Start(StartKind.AT_TIMESTAMP, timestamp_s=1.5e9), batch_size=1, report_failures=True
    )


@pytest.mark.parametrize("arn", [DEAD, TOPIC])
def test_dead_letters_go_to_a_queue_or_a_topic(arn: str) -> None:
    """Of the same Region, not FIFO."""

    def dead_letters(to: str) -> str:
        return settings_of(
            STREAM, "KinesisStreamParameters", StartingPosition="LATEST", DeadLetterConfig={"Arn": to}
        ).dead_letter_arn

    assert dead_letters(arn) == arn
    for other in (arn.replace(REGION, "us-east-1"), arn + ".fifo", STREAM):
        with pytest.raises(PipesError, match="A dead-letter queue is a standard SQS queue"):
            dead_letters(other)
