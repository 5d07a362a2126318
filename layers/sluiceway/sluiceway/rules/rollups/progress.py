"""How far a rollup job is, and what may become of it next. Pure.

The states are those of OpenSearch's rollup jobs. `started` goes over periods when it is run; `retry` has failed over
something that may pass and goes on with the next run; `failed` waits for somebody to start it again; `finished` is over
(a job that is not continuous, once no period is left); `stopped` waits for a start and keeps its place. Source:
https://docs.opensearch.org/latest/im-plugin/index-rollups/rollup-api/
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from sluiceway.errors import Rejected

__all__ = ["JobState", "RollupProgress", "RollupStats", "add_stats", "fail", "start", "stop"]

JobState = Literal["init", "started", "stopped", "finished", "failed", "retry"]
MAX_REASON: Final = 1_000  # characters
RUNS: Final = frozenset({"init", "started", "retry"})


@dataclass(frozen=True, slots=True)
class RollupStats:
    """What was done. Records read again for a deletion, or after a failure, count again; times are milliseconds.

    `search_time_ms` was spent reading raw records and rows, `index_time_ms` writing rows.
    """

    pages_processed: int = 0
    documents_processed: int = 0
    rollups_indexed: int = 0
    periods_verified: int = 0
    periods_repaired: int = 0
    objects_deleted: int = 0
    search_time_ms: int = 0
    index_time_ms: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class RollupProgress:
    """A job's record. Times are epoch milliseconds.

    `next_ms` is the start of the first period that is not verified, `delete_from_ms` of the first whose raw records are
    not deleted; 0: nothing was found yet. `deleting_ms` is the start of a period whose deletion has begun (-1: none).
    `version` counts writes. `last_failure` is the text of the last one, "" for none since the last start.
    """

    rollup_id: str
    state: JobState = "init"
    version: int = 0
    updated_ms: int = 0
    next_ms: int = 0
    delete_from_ms: int = 0
    deleting_ms: int = -1
    last_failure: str = ""
    last_failure_ms: int = 0
    stats: RollupStats = RollupStats()

    @property
    def runs(self) -> bool:
        """Whether a run goes on with it."""
        return self.state in RUNS


def start(progress: RollupProgress) -> RollupProgress:
    """Let it run from where it is; nothing changes for one that runs. A finished one looks for new periods."""
    if progress.state == "started":
        return progress
    return replace(progress, state="started", last_failure="")


def stop(progress: RollupProgress) -> RollupProgress:
    """Let it wait. Raises Rejected (`job-over`) for one that is finished or failed."""
    if progress.state in {"finished", "failed"}:
        raise Rejected(f"the job is {progress.state}", reason="job-over")
    return replace(progress, state="stopped")


def fail(progress: RollupProgress, why: str, *, now_ms: int, may_pass: bool) -> RollupProgress:
    """After a failure: `retry` where it may pass, else `failed`. A job that was stopped meanwhile stays stopped."""
    state: JobState = progress.state if not progress.runs else "retry" if may_pass else "failed"
    stats = replace(progress.stats, failures=progress.stats.failures + 1)
    return replace(progress, state=state, last_failure=why[:MAX_REASON], last_failure_ms=now_ms, stats=stats)


def add_stats(one: RollupStats, other: RollupStats) -> RollupStats:
    """Both together."""
    return RollupStats(*(getattr(one, name) + getattr(other, name) for name in RollupStats.__slots__))
