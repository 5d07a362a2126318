"""What polls for a pipe: an event source mapping whose function is the pipe; and whether its role may read the source.

Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-permissions.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-error-troubleshooting.html (dead letters of streams)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.compute.event_source import Poller
from localcloud.compute.event_source_sqs import Queue, SqsMapping, SqsMappingConfig
from localcloud.compute.event_source_stream import Checkpoints, MappingFacts, StreamMapping
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_batches import encode_json
from localcloud.compute.stream_source import StreamGone, StreamSource
from localcloud.services.pipes.services import ServicePort
from localcloud.services.pipes.settings import PipeSettings
from localcloud.services.pipes.stages import Stages
from localcloud.services.sqs.message import Message

__all__ = ["Sources", "Unstartable"]

PRINCIPAL: Final = "pipes.amazonaws.com"
_ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "dynamodb": (
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
    ),
    "kinesis": (
        "kinesis:DescribeStream",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
    ),
    "sqs": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}


class Unstartable(Exception):
    """A pipe cannot read its source; the text is its StateReason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Queues and streams. `find_queue`: the queue of an ARN, None where there is none.

    `open_stream`: the stream of an ARN, read for a role (ARN); raises StreamGone. `may_do`: whether a role may do an
    action on a resource. `may_assume`: whether a role may be assumed by a service (`pipes.amazonaws.com`).
    """

    find_queue: Callable[[str], Queue | None]
    open_stream: Callable[[str, str], StreamSource]
    may_do: Callable[[str, str, str], bool]
    may_assume: Callable[[str, str], bool]
    port: ServicePort
    clock: Clock
    rng: random.Random

    def open(self, settings: PipeSettings, checkpoints: Checkpoints) -> Poller:
        """What polls for a pipe. `checkpoints` outlive it. Raises Unstartable."""
        self._check_role(settings)
        stages = Stages(settings, self.port, self.clock)
        config = settings.poller
        if isinstance(config, SqsMappingConfig):
            queue = self.find_queue(settings.source_arn)
            if queue is None:
                raise Unstartable(f"The source queue {settings.source_arn} does not exist.")
            return SqsMapping(queue, _QueueInvoke(stages), config, criteria=settings.criteria, rng=self.rng)
        pipe = settings.pipe
        return StreamMapping(
            self._open_stream(settings),
            stages.run,
            config,
            facts=MappingFacts(mapping_id=pipe.arn, function_arn=pipe.arn, function_name=pipe.name),
            criteria=settings.criteria,
            destination=_DeadLetters(settings, self.port) if settings.dead_letter_arn else None,
            checkpoints=checkpoints,
            clock=self.clock,
            rng=self.rng,
        )

    def _open_stream(self, settings: PipeSettings) -> StreamSource:
        try:
            stream = self.open_stream(settings.source_arn, settings.role_arn)
            stream.shards()
        except StreamGone:
            raise Unstartable(f"The source stream {settings.source_arn} does not exist.") from None
        return stream

    def _check_role(self, settings: PipeSettings) -> None:
        if not self.may_assume(settings.role_arn, PRINCIPAL):
            raise Unstartable(f"{PRINCIPAL} is not authorized to assume the role {settings.role_arn}.")
        for action in _ACTIONS[settings.kind]:
            if not self.may_do(settings.role_arn, action, settings.source_arn):
                detail = f"is not authorized to perform: {action} on resource: {settings.source_arn}"
                raise Unstartable(f"{settings.role_arn} {detail}")


class _QueueInvoke:
    """The stages as the function of a queue's mapping."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    async def __call__(self, payload: bytes, batch: Sequence[Message]) -> InvokeResult:  # noqa: ARG002 - traces end here
        return await self._stages.run(payload)


class _DeadLetters:
    """The failure destination of a pipe: Lambda's document with the pipe in the place of the function."""

    def __init__(self, settings: PipeSettings, port: ServicePort) -> None:
        self._settings = settings
        self._port = port

    async def send(self, document: Mapping[str, Any], payload: bytes) -> None:  # noqa: ARG002 - metadata only
        """Send the document to the queue or topic."""
        kept = ("version", "timestamp", "KinesisBatchInfo", "DDBStreamBatchInfo")
        context = {
            "partnerResourceArn": self._settings.pipe.arn,
            "condition": document["requestContext"]["condition"],
        }
        letter = {"context": context, **{name: document[name] for name in kept if name in document}}
        await self._port.bury(self._settings, encode_json(letter).decode())
