"""Every pipe: made, changed, started, stopped, deleted, and what state each is in.

A pipe that is stopped and started again goes on where it was; its running batches are waited for, and what they did
counts, as for a mapping. Knows no wire and no template.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.compute.event_source import Poller, end_polling
from localcloud.compute.event_source_stream import Checkpoints
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.pipes.errors import PipesError, conflict, not_found, validation
from localcloud.services.pipes.settings import PipeName, PipeSettings, read_settings
from localcloud.services.pipes.sources import Sources, Unstartable

__all__ = ["Pipe", "Pipes"]

log = logging.getLogger(__name__)

SETTLE_S: Final = 0.1  # AWS takes up to a minute or two to change a pipe's state; a laptop has one process to tell
MAX_PIPES: Final = 1_000  # eb-quota: pipes of an account in a Region
MAX_TAGS: Final = 50
_MOVING: Final = frozenset({"CREATING", "UPDATING", "DELETING", "STARTING", "STOPPING"})
_POSITIONS: Final = ("StartingPosition", "StartingPositionTimestamp")
_FAILED: Final = {"CREATING": "CREATE_FAILED", "UPDATING": "UPDATE_FAILED", "STARTING": "START_FAILED"}


@dataclass(slots=True, kw_only=True)
class Pipe:
    """One pipe. `values`: as CreatePipe had them, with what UpdatePipe changed. `desired`: "RUNNING" or "STOPPED"."""

    settings: PipeSettings
    values: dict[str, Any]
    desired: str
    created_s: float
    modified_s: float
    state: str = "CREATING"
    reason: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    poller: Poller | None = None
    task: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """The pipe's name."""
        return self.settings.pipe.name

    @property
    def arn(self) -> str:
        """The pipe's ARN."""
        return self.settings.pipe.arn


class Pipes:
    """The pipes of every Region. One event loop; `close()` before `group` ends."""

    def __init__(self, sources: Sources, *, group: asyncio.TaskGroup, clock: Clock, partition: str = "aws") -> None:
        self._sources = sources
        self._group = group
        self._clock = clock
        self._partition = partition
        self._pipes: dict[str, Pipe] = {}  # by ARN

    def arn_of(self, name: str, region: str) -> str:
        """The ARN of a pipe of this name."""
        return f"arn:{self._partition}:pipes:{region}:{ACCOUNT_ID}:pipe/{name}"

    def get(self, name: str, region: str) -> Pipe:
        """The pipe of a name. Raises PipesError: NotFoundException."""
        return self.get_by_arn(self.arn_of(name, region), name)

    def get_by_arn(self, arn: str, name: str = "") -> Pipe:
        """The pipe of an ARN. Raises PipesError: NotFoundException."""
        pipe = self._pipes.get(arn)
        if pipe is None:
            raise not_found(name or arn)
        return pipe

    def list(self, region: str) -> list[Pipe]:
        """The Region's pipes, by name."""
        found = [pipe for pipe in self._pipes.values() if pipe.settings.pipe.region == region]
        return sorted(found, key=lambda pipe: pipe.name)

    def create(self, values: Mapping[str, Any], region: str) -> Pipe:
        """Make a pipe of a CreatePipe request and start it, unless it is to be stopped. Raises PipesError."""
        name: str = values["Name"]
        arn = self.arn_of(name, region)
        if arn in self._pipes:
            raise conflict(f"Pipe {name} already exists.")
        if len(self.list(region)) >= MAX_PIPES:
            message = "The maximum number of pipes for this account and Region is reached."
            raise PipesError("ServiceQuotaExceededException", message, 402)
        now_s = self._clock.time()
        pipe = Pipe(
            settings=read_settings(values, PipeName(name, arn, region)),
            values={member: value for member, value in values.items() if member != "Tags"},
            desired=values.get("DesiredState", "RUNNING"),
            created_s=now_s,
            modified_s=now_s,
            tags=dict(values.get("Tags", {})),
        )
        self._pipes[arn] = pipe
        self._move(pipe, "CREATING")
        return pipe

    def update(self, pipe: Pipe, changes: Mapping[str, Any]) -> None:
        """Change what is given; the block of one service is replaced whole. Raises PipesError."""
        _check_still(pipe)
        values = _merge(pipe.values, changes)
        pipe.settings = read_settings(values, pipe.settings.pipe)
        pipe.values = values
        pipe.desired = changes.get("DesiredState", pipe.desired)
        self._move(pipe, "UPDATING")

    def start(self, pipe: Pipe) -> None:
        """Let a pipe run. Raises PipesError: ConflictException while it is being changed."""
        _check_still(pipe)
        pipe.desired = "RUNNING"
        if pipe.state != "RUNNING":
            self._move(pipe, "STARTING")

    def stop(self, pipe: Pipe) -> None:
        """Let a pipe rest. Raises PipesError: ConflictException while it is being changed."""
        _check_still(pipe)
        pipe.desired = "STOPPED"
        if pipe.state != "STOPPED":
            self._move(pipe, "STOPPING")

    def delete(self, pipe: Pipe) -> None:
        """Stop a pipe and forget it. Raises PipesError: ConflictException while it is being changed."""
        _check_still(pipe)
        pipe.desired = "DELETED"
        self._move(pipe, "DELETING")

    def tag(self, pipe: Pipe, tags: Mapping[str, str]) -> None:
        """Add tags. Raises PipesError where they are too many."""
        merged = {**pipe.tags, **tags}
        if len(merged) > MAX_TAGS:
            raise validation(f"A pipe has at most {MAX_TAGS} tags.")
        pipe.tags = merged

    async def remove(self, arn: str) -> None:
        """End a pipe at once, whatever its state, and forget it; nothing where it is gone."""
        pipe = self._pipes.pop(arn, None)
        if pipe is not None:
            pipe.state = "DELETING"
            await _halt(pipe)

    async def close(self) -> None:
        """End all of them at once."""
        for arn in list(self._pipes):
            await self.remove(arn)

    # ------------------------------------------------------------------ inside

    def _move(self, pipe: Pipe, state: str) -> None:
        pipe.state, pipe.reason = state, ""
        pipe.modified_s = self._clock.time()
        pipe.settled.clear()
        self._group.create_task(self._settle(pipe))

    async def _settle(self, pipe: Pipe) -> None:
        """From a state that passes to one that stays, once the running batches have ended."""
        if pipe.poller is not None:
            await pipe.poller.stop()
        await _halt(pipe)
        await asyncio.sleep(SETTLE_S)
        if self._pipes.get(pipe.arn) is not pipe:
            return
        if pipe.state == "DELETING":
            del self._pipes[pipe.arn]
        elif pipe.desired == "STOPPED":
            pipe.state = "STOPPED"
        else:
            self._begin(pipe)
        pipe.settled.set()

    def _begin(self, pipe: Pipe) -> None:
        try:
            pipe.poller = poller = self._sources.open(pipe.settings, pipe.checkpoints)
        except Unstartable as error:
            pipe.state, pipe.reason = _FAILED[pipe.state], str(error)
            return
        pipe.state = "RUNNING"
        pipe.task = self._group.create_task(self._poll(pipe, poller))

    async def _poll(self, pipe: Pipe, poller: Poller) -> None:
        """Whatever goes wrong belongs to this pipe, never to the group."""
        try:
            await poller.run()
            reason = poller.last_result.removeprefix("PROBLEM: ")
        except Exception as error:
            log.exception("pipe.broke", extra={"pipe": pipe.arn})
            reason = f"The pipe broke: {type(error).__name__}"
        if pipe.state == "RUNNING":
            pipe.state, pipe.reason = "STOPPED", reason


async def _halt(pipe: Pipe) -> None:
    task, pipe.task = pipe.task, None
    await end_polling(task)


def _check_still(pipe: Pipe) -> None:
    if pipe.state in _MOVING:
        raise conflict(f"Pipe {pipe.name} is in state {pipe.state} and cannot be changed now.")


def _merge(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A pipe's members after an update; where it began to read a stream does not change."""
    merged = {**old, **changes}
    for member in ("EnrichmentParameters", "SourceParameters", "TargetParameters"):
        if member in old and member in changes:
            merged[member] = {**old[member], **changes[member]}
    sources: Mapping[str, Any] = old.get("SourceParameters", {})
    for block in ("DynamoDBStreamParameters", "KinesisStreamParameters"):
        if block in sources:
            kept = {name: sources[block][name] for name in _POSITIONS if name in sources[block]}
            merged["SourceParameters"] = {
                **merged["SourceParameters"],
                block: {**merged["SourceParameters"][block], **kept},
            }
    if _service(old["Target"]) != _service(merged["Target"]) and "TargetParameters" in old:
        template = {name: value for name, value in old["TargetParameters"].items() if name == "InputTemplate"}
        merged["TargetParameters"] = {**template, **changes.get("TargetParameters", {})}
    return merged


def _service(arn: str) -> str:
    return arn.split(":")[2]
