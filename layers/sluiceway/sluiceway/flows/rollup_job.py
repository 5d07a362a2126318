"""A rollup job over raw periods: each is verified once it is settled, and its raw records deleted once they are old.

Owns the order, and what is written down between the steps, so that a run may end anywhere and the next goes on:

1. A period is counted again and compared once it, all lateness and a window are over (`rollup_check`).
2. It is compared once more right before its raw records are deleted, which is `raw_retention_s` after its end.
3. What was compared, and nothing else, is deleted: its names are written into a manifest first, then the job's record
   says that the deletion has begun, and only then does the first object go.

Every write of the job's record is on the condition that nobody else wrote: two runs do not disturb each other, and a
stop is seen at the next step. Must not know AWS.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Final, NamedTuple, cast

from sluiceway import log
from sluiceway.codec.raw_records import prefix_of, start_of
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.flows.rollup_check import find_differences, find_unsettled, has_grown, list_names, mend, recount
from sluiceway.flows.workers import do_each
from sluiceway.ports import Clock
from sluiceway.ports.rollups import RawStore, RollupJobStore, RollupStore
from sluiceway.rules.rollups.definition import INTERVAL_MS, RollupDefinition
from sluiceway.rules.rollups.progress import RollupProgress, RollupStats, add_stats, fail, start, stop

__all__ = ["RollupJobDesk", "explain_rollup_job", "run_rollup_job", "start_rollup_job", "stop_rollup_job"]

WINDOW_MS: Final = 900_000  # the longest tumbling window: so long may a record be in a state and in no row
SLACK_MS: Final = 300_000  # for batches that are tried again
TRIES: Final = 5  # writes of the job's record that somebody forestalled

Step = Callable[["RollupJobDesk", RollupProgress], Awaitable[RollupProgress | None]]


@dataclass(frozen=True, slots=True)
class RollupJobDesk:
    """What a job needs; `store` is of the rollup of `definition`."""

    definition: RollupDefinition
    store: RollupStore
    raw: RawStore
    jobs: RollupJobStore
    clock: Clock


async def run_rollup_job(desk: RollupJobDesk, *, deadline: float) -> RollupProgress:
    """Go on with the job until nothing is due, it is stopped, it fails, or `deadline` (the loop's clock) has come.

    A period is done whole or not at all, so what is left before the deadline must be enough for one. Returns the job's
    record. Raises what the ports raise where not even that can be written.
    """
    now = asyncio.get_running_loop().time
    progress = await _read(desk)
    if not progress.runs:
        return progress
    progress = await _write(desk, replace(progress, state="started"), seen=progress) or await _read(desk)
    while progress.runs and now() < deadline:
        try:
            async with asyncio.timeout_at(deadline):
                following = await _advance(desk, progress)
        except TimeoutError:
            log.warning("rollup_job.deadline", rollup_id=progress.rollup_id)
            break
        except (Retryable, Rejected, Misconfigured) as error:
            log.failure("rollup_job.failed", error, rollup_id=progress.rollup_id)
            return await _change(desk, _failing(error, desk.clock.now_ms()))
        if following is None:
            return await _finish(desk, progress)
        progress = await _write(desk, following, seen=progress) or await _read(desk)
    return progress


async def start_rollup_job(desk: RollupJobDesk) -> RollupProgress:
    """Let the job run, from where it was; it is made where there is none."""
    return await _change(desk, start)


async def stop_rollup_job(desk: RollupJobDesk) -> RollupProgress:
    """Let the job wait, also one that a run is at. Raises Rejected (`job-over`) for one that is finished or failed."""
    return await _change(desk, stop)


async def explain_rollup_job(desk: RollupJobDesk) -> dict[str, object]:
    """The job's record as OpenSearch's `_explain` tells one, in JSON types; status `init` where it never ran."""
    progress = await _read(desk)
    length_ms = INTERVAL_MS[desk.definition.coarsest]
    return {
        "rollup_id": progress.rollup_id,
        "last_updated_time": progress.updated_ms,
        "continuous": {
            "next_window_start_time": progress.next_ms,
            "next_window_end_time": progress.next_ms + length_ms if progress.next_ms else 0,
        },
        "status": progress.state,
        "failure_reason": progress.last_failure or None,
        "stats": asdict(progress.stats),
    }


# ------------------------------------------------------------ steps


async def _advance(desk: RollupJobDesk, progress: RollupProgress) -> RollupProgress | None:
    """The record after the next step; None where none is due."""
    steps: tuple[Step, ...] = (_end_deletion, _verify_next, _begin_deletion)
    for step in steps:
        following = await step(desk, progress)
        if following is not None:
            return following
    return None


async def _verify_next(desk: RollupJobDesk, progress: RollupProgress) -> RollupProgress | None:
    """Count and compare the first period that is not verified, if nothing of it is under way any more."""
    start_ms = await _find_period(desk, progress.next_ms)
    length_ms, now_ms = INTERVAL_MS[desk.definition.coarsest], desk.clock.now_ms()
    if start_ms is None or now_ms < start_ms + length_ms + desk.definition.lateness_s * 1000 + WINDOW_MS + SLACK_MS:
        return None
    checked = await _check(desk, start_ms)
    if checked is None:
        return None
    return replace(
        progress,
        next_ms=start_ms + length_ms,
        stats=add_stats(progress.stats, replace(checked.stats, periods_verified=1)),
    )


async def _begin_deletion(desk: RollupJobDesk, progress: RollupProgress) -> RollupProgress | None:
    """Compare the oldest period once more and write down what is to be deleted, if it is verified and old enough."""
    start_ms = await _find_period(desk, progress.delete_from_ms)
    length_ms, kept_ms = INTERVAL_MS[desk.definition.coarsest], desk.definition.raw_retention_s * 1000
    if start_ms is None or start_ms + length_ms > min(progress.next_ms, desk.clock.now_ms() - kept_ms):
        return None
    checked = await _check(desk, start_ms)
    if checked is None:
        return None
    await desk.raw.put(_manifest(desk.definition, start_ms), json.dumps(checked.names).encode())
    return replace(progress, deleting_ms=start_ms, stats=add_stats(progress.stats, checked.stats))


async def _end_deletion(desk: RollupJobDesk, progress: RollupProgress) -> RollupProgress | None:
    """Delete what the manifest names. Raises Rejected (`raw-came-late`) where other raw records are there after it."""
    if progress.deleting_ms < 0:
        return None
    start_ms = progress.deleting_ms
    manifest = await desk.raw.get(_manifest(desk.definition, start_ms))
    names = cast("list[str]", json.loads(manifest)) if manifest else []
    await do_each(names, desk.raw.delete)
    async for name in list_names(desk.raw, _prefix(desk.definition, start_ms)):
        raise Rejected("raw records came after those of their period were deleted", reason="raw-came-late", field=name)
    await desk.raw.delete(_manifest(desk.definition, start_ms))
    log.info("rollup_job.raw_deleted", start_ms=start_ms, objects=len(names))
    return replace(
        progress,
        deleting_ms=-1,
        delete_from_ms=start_ms + INTERVAL_MS[desk.definition.coarsest],
        stats=add_stats(progress.stats, RollupStats(objects_deleted=len(names))),
    )


class _Checked(NamedTuple):
    """What comparing a period came to, and the objects that were counted."""

    stats: RollupStats
    names: list[str]


async def _check(desk: RollupJobDesk, start_ms: int) -> _Checked | None:
    """Compare a period until it is right, mending it once where it lacks records. None: something is still under way.

    How long a shard may be behind is bounded by what its stream keeps; after that it is not waited for.
    Raises Rejected (`rolled-and-raw-differ`) where mending did not help.
    """
    mended = 0
    search_ms = index_ms = 0
    while True:
        begun_ms = desk.clock.now_ms()
        counted = await recount(desk.raw, desk.definition, start_ms)
        if _may_be_under_way(desk, start_ms) and await find_unsettled(desk.store, counted):
            return None
        differences = await find_differences(desk.store, desk.definition, counted)
        search_ms += desk.clock.now_ms() - begun_ms
        if not differences:
            break
        log.warning("rollup_job.differs", start_ms=start_ms, rows=len(differences), mended=mended)
        if await has_grown(desk.raw, desk.definition, counted):
            return None
        if mended:
            raise Rejected("rows and raw records of a period differ", reason="rolled-and-raw-differ")
        begun_ms = desk.clock.now_ms()
        mended = await mend(desk.store, differences, counted)
        index_ms += desk.clock.now_ms() - begun_ms
    stats = RollupStats(
        pages_processed=counted.pages,
        documents_processed=counted.documents,
        rollups_indexed=mended,
        periods_repaired=1 if mended else 0,
        search_time_ms=search_ms,
        index_time_ms=index_ms,
    )
    return _Checked(stats, counted.names)


def _may_be_under_way(desk: RollupJobDesk, start_ms: int) -> bool:
    """Whether the stream can still have a record of the period."""
    definition = desk.definition
    kept_ms = (definition.stream_retention_s + definition.lateness_s) * 1000 + WINDOW_MS + SLACK_MS
    return desk.clock.now_ms() < start_ms + INTERVAL_MS[definition.coarsest] + kept_ms


async def _find_period(desk: RollupJobDesk, from_ms: int) -> int | None:
    """The start of the first period from `from_ms` on that has raw records."""
    length_ms = INTERVAL_MS[desk.definition.coarsest]
    page = await desk.raw.names(f"raw/{desk.definition.topic}/", after=prefix_of(desk.definition.topic, from_ms))
    return start_of(page.names[0]) // length_ms * length_ms if page.names else None


def _prefix(definition: RollupDefinition, start_ms: int) -> str:
    return prefix_of(definition.topic, start_ms, day=definition.coarsest == "day")


def _manifest(definition: RollupDefinition, start_ms: int) -> str:
    return f"deleting/{definition.rollup_id}/{start_ms}.json"


# ------------------------------------------------------------ the job's record


async def _finish(desk: RollupJobDesk, progress: RollupProgress) -> RollupProgress:
    """Nothing is due: a job that is not continuous is over once no raw records are left."""
    if desk.definition.continuous or await _find_period(desk, 0) is not None:
        return progress
    return await _write(desk, replace(progress, state="finished"), seen=progress) or await _read(desk)


def _failing(error: Exception, now_ms: int) -> Callable[[RollupProgress], RollupProgress]:
    def change(progress: RollupProgress) -> RollupProgress:
        why = f"{getattr(error, 'reason', type(error).__name__)}: {error}"
        return fail(progress, why, now_ms=now_ms, may_pass=isinstance(error, Retryable))

    return change


async def _read(desk: RollupJobDesk) -> RollupProgress:
    return await desk.jobs.read(desk.definition.rollup_id) or RollupProgress(desk.definition.rollup_id)


async def _write(
    desk: RollupJobDesk, progress: RollupProgress, *, seen: RollupProgress
) -> RollupProgress | None:  # fmt: skip
    """The record as it is written now; None where somebody else has written."""
    written = replace(progress, version=seen.version + 1, updated_ms=desk.clock.now_ms())
    if await desk.jobs.write(written, seen=seen if seen.version else None):
        return written
    return None


async def _change(desk: RollupJobDesk, change: Callable[[RollupProgress], RollupProgress]) -> RollupProgress:
    """Change the record, whoever else writes it. Raises Retryable where others do all the time."""
    for _ in range(TRIES):
        seen = await _read(desk)
        written = await _write(desk, change(seen), seen=seen)
        if written is not None:
            return written
    raise Retryable("others write the job's record all the time")
