"""The settings of an event source mapping from a stream, checked already. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from localcloud.compute.stream_source import Start

__all__ = ["FOREVER", "StreamMappingConfig", "find_conflict"]

FOREVER: Final = -1  # CreateEventSourceMapping: MaximumRetryAttempts and MaximumRecordAgeInSeconds without a bound


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMappingConfig:
    """`batch_size` 1-10000, `window_s` 0-300, `parallelization` 1-10 batches of a shard at once, `max_retries` 0-10000,
    `max_record_age_s` 60-604800 (both FOREVER by default), `tumbling_window_s` 0-900.
    """

    start: Start
    batch_size: int = 100
    window_s: float = 0.0
    parallelization: int = 1
    bisect: bool = False
    max_retries: int = FOREVER
    max_record_age_s: int = FOREVER
    tumbling_window_s: int = 0
    report_failures: bool = False


def find_conflict(config: StreamMappingConfig) -> str:
    """Why Lambda takes no mapping with these settings together; "" where it does.

    A tumbling window has one state for each shard, so it goes with one batch of a shard at a time.
    Source: https://github.com/terraform-aws-modules/terraform-aws-lambda/issues/619
    """
    if config.tumbling_window_s and config.parallelization > 1:
        return "TumblingWindowInSeconds takes a ParallelizationFactor of 1."
    return ""
