"""Sources and targets made from the words that name them. Knows which is made of what, and nothing of how it runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from localcloud.replay.mappings import MappedRoutes, NamedRoute
from localcloud.replay.ports import Source, Target
from localcloud.replay.queue_api import LetterQueue, find_queue
from localcloud.replay.reach import Reach
from localcloud.replay.sources.objects import ObjectPlan, ObjectSource
from localcloud.replay.sources.queues import LetterSource, open_letters
from localcloud.replay.sources.streams import open_consumer, open_stream, read_cursor, read_span, write_span
from localcloud.replay.targets.files import FileTarget, NoTarget
from localcloud.replay.targets.functions import FunctionTarget
from localcloud.replay.targets.http import UrlTarget
from localcloud.replay.targets.invokers import ApiInvoker, SamInvoker
from localcloud.replay.targets.origins import OriginTarget, QueueTarget
from localcloud.replay.targets.streams import StreamTarget
from localcloud.replay.words import Named, read_moment
from localcloud.replay.words import read_span as read_span_words
from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured
from sluiceway.flows.consume import Manner, ReplayOptions
from sluiceway.ports import Chance, Clock

__all__ = ["Opening", "name_run"]

SHARE: Final = 0.2


def name_run(chance: Chance) -> str:
    """A name for what a run makes, unlike those of others."""
    return f"sluiceway-replay-{int(chance.draw() * 16**10):010x}"


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens what the `options` name, for as long as `stack` is open. Raises SluicewayError."""

    options: argparse.Namespace
    reach: Reach
    wire: Wire
    stack: AsyncExitStack
    clock: Clock
    chance: Chance

    # ------------------------------------------------------------------ sources

    async def open_source(
        self, named: Named, *, plan: Mapping[str, Any] | None, done: Mapping[str, Any]
    ) -> tuple[Source, Mapping[str, Any]]:
        """The source, and its plan with every date fixed. `plan`, `done`: of an earlier run."""
        if named.kind == "stream":
            return await self._open_stream(named.name, plan, done)
        if named.kind == "s3":
            objects = self._plan_objects(named.name) if plan is None else _read_plan(plan)
            return ObjectSource(self.wire, objects, chance=self.chance, done=done), asdict(objects)
        return await self.open_letters(await self.find_queue(named.name), keeps=self.options.dry_run), {}

    async def open_letters(self, queue: LetterQueue, *, keeps: bool) -> LetterSource:
        """The letters of a queue. `keeps`: all of them stay."""
        opened = open_letters(self.wire, queue, chance=self.chance, keeps=keeps)
        return await self.stack.enter_async_context(opened)

    async def find_queue(self, name: str) -> LetterQueue:
        """A queue by output, URL, ARN or name."""
        return LetterQueue(self.wire, await find_queue(self.wire, self.reach.resolve(name)))

    async def _open_stream(
        self, name: str, plan: Mapping[str, Any] | None, done: Mapping[str, Any]
    ) -> tuple[Source, Mapping[str, Any]]:
        now_ms = self.clock.now_ms()
        span = read_span_words(self.options, now_ms=now_ms) if plan is None else read_span(plan)
        arn = (await KinesisReader(self.wire, self.reach.resolve(name)).describe()).arn
        reader = KinesisReader(self.wire, arn)
        if self.options.fan_out:
            opened = open_consumer(self.wire, reader, name_run(self.chance), chance=self.chance)
            reader = await self.stack.enter_async_context(opened)
        reading = ReplayOptions(
            manner=Manner(share=self.options.share or SHARE),
            done=read_cursor(done),
            clock=self.clock,
            chance=self.chance,
        )
        return await self.stack.enter_async_context(open_stream(reader, span, options=reading)), write_span(span)

    def _plan_objects(self, name: str) -> ObjectPlan:
        bucket, _, prefix = name.removeprefix("//").partition("/")
        if not name.startswith("//") or not bucket:
            raise Misconfigured("an archive in S3 is s3://BUCKET/PREFIX", what="--from")
        now_ms = self.clock.now_ms()
        at, until = self.options.at, self.options.until
        at_ms = 0 if at in {None, "TRIM_HORIZON"} else read_moment(at, now_ms=now_ms, word="--at")
        until_ms = read_moment(until, now_ms=now_ms, word="--until") if until else 0
        if until_ms and at_ms > until_ms:
            raise Misconfigured("--at lies behind --until", what="at")
        return ObjectPlan(
            self.reach.resolve(bucket),
            prefix,
            at_ms=at_ms,
            until_ms=until_ms,
            origin=self.reach.resolve(self.options.origin or ""),
        )

    # ------------------------------------------------------------------ targets

    async def open_target(self, named: Named | None, *, source: Named, mark: Mapping[str, Any] | None) -> Target:
        """The target; None is nowhere. `mark`: of an earlier run, None for a new one."""
        if named is None or self.options.dry_run:
            return NoTarget()
        if named.kind in {"same", "lambda", "sam"}:
            return self._open_functions(named)
        if named.kind in {"source", "queue"}:
            return await self._open_queues(named, source)
        if named.kind == "stream":
            return StreamTarget(KinesisStream(self.wire, self.reach.resolve(named.name)), chance=self.chance)
        if named.kind == "file":
            return self.stack.enter_context(FileTarget.open(Path(named.name), mark))
        opened = UrlTarget.open(named.name, at_once=self.options.at_once, chance=self.chance)
        return await self.stack.enter_async_context(opened)

    def _open_functions(self, named: Named) -> FunctionTarget:
        options = self.options
        api = ApiInvoker(self.wire, chance=self.chance)
        if named.kind == "same":
            return FunctionTarget(api, MappedRoutes(self.wire), chance=self.chance, tries=options.tries)
        if named.kind == "sam":
            invoker = SamInvoker(options.template, options.sam_arguments)
            return FunctionTarget(invoker, NamedRoute(named.name), chance=self.chance, tries=options.tries)
        function = self.reach.find_function(self.reach.resolve(named.name))
        return FunctionTarget(api, NamedRoute(function), chance=self.chance, tries=options.tries)

    async def _open_queues(self, named: Named, source: Named) -> OriginTarget | QueueTarget:
        letters = await self.find_queue(source.name) if source.kind == "queue" else None
        if named.kind == "source":
            return OriginTarget(self.wire, letters=letters, chance=self.chance)
        queue = await self.find_queue(named.name)
        if letters is not None and letters.url == queue.url:
            raise Misconfigured("a queue's letters cannot go to the same queue", what="--target")
        return QueueTarget(queue, chance=self.chance)


def _read_plan(plan: Mapping[str, Any]) -> ObjectPlan:
    try:
        return ObjectPlan(**plan)
    except TypeError as error:
        raise Misconfigured("the resume file's plan is not one of an archive", what="--resume") from error
