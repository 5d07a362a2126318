"""All queues of all Regions: names, attributes, dead-letter links. Knows no protocol.

In-process callers (event source mappings, the console) use a `Queue`; the wire uses `Queues` for the rest.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sqs.attributes import (
    DEFAULT_REUSE_S,
    allows_source,
    check_attributes,
    default_attributes,
    merge_attributes,
    parse_redrive,
)
from localcloud.services.sqs.errors import SqsError, invalid_value
from localcloud.services.sqs.held import Depth
from localcloud.services.sqs.keeping import Keeper
from localcloud.services.sqs.message import AttributeValue, Content, Message
from localcloud.services.sqs.moving import MoveTasks
from localcloud.services.sqs.queue import Queue, Surroundings
from localcloud.services.sqs.rates import Rates
from localcloud.services.sqs.tags import check_tags
from localcloud.services.sqs.watching import Unwatched, Watch

__all__ = ["AttributeValue", "Content", "Depth", "Message", "Queue", "Queues"]

DELETED_FOR_S: Final = 60.0  # CreateQueue: a name is free again a minute after DeleteQueue
MAX_NAME_CHARS: Final = 80  # quotas-queues and quotas-fifo, the suffix included
FIFO: Final = ".fifo"  # quotas-fifo
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")  # quotas-queues


@dataclass(slots=True)
class _Deleted:
    at: float


class Queues:
    """The queues of the account. State lives here and nowhere else; one event loop.

    `keeper` brings the queues of earlier runs and keeps every change; None keeps nothing beyond the process.
    `watch` hears of every message.
    `endpoint` is where the local cloud answers AWS calls, the root of every queue URL; it may be set once the port is
    known. `limits_fifo`: a FIFO queue takes 300 transactions a second by the API, as on AWS; False sets no limit.
    """

    endpoint: str = "http://127.0.0.1:4600"
    limits_fifo: bool = True

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        keeper: Keeper | None = None,
        watch: Watch | None = None,
        partition: str = "aws",
    ) -> None:
        self._keeper = keeper
        self._around = Surroundings(clock, rng, self.find, keeper, watch or Unwatched())
        self._partition = partition
        self._rates = Rates()
        self.move_tasks = MoveTasks(self, clock, rng)
        self._queues: dict[str, Queue] = {}  # by ARN
        self._deleted: dict[str, _Deleted] = {}
        self._unclaimed: set[str] = set()  # kept by an earlier run, and no template's yet
        for definition, messages in keeper.load() if keeper else ():
            self._queues[definition.arn] = queue = Queue(definition.arn, self._around)
            queue.restore(definition, messages)
            self._unclaimed.add(definition.arn)

    def arn_of(self, name: str, region: str) -> str:
        """The ARN that a queue of this name has."""
        return f"arn:{self._partition}:sqs:{region}:{ACCOUNT_ID}:{name}"

    def url_of(self, queue: Queue) -> str:
        """The queue's URL. Its path is AWS's; the Region is that of the request's signature."""
        return f"{self.endpoint}/{ACCOUNT_ID}/{queue.name}"

    def find(self, arn: str) -> Queue | None:
        """The queue of an ARN, None where there is none."""
        return self._queues.get(arn)

    def get(self, name: str, region: str) -> Queue:
        """The queue of a name.

        Raises SqsError: QueueDoesNotExist.
        """
        queue = self._queues.get(self.arn_of(name, region))
        if queue is None:
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist.")
        self._around.watch.touched(queue.arn)
        return queue

    def all(self) -> tuple[Queue, ...]:
        """The queues of every Region."""
        return tuple(self._queues.values())

    def list(self, region: str, *, prefix: str = "") -> list[Queue]:
        """The Region's queues whose names start with `prefix`, by name."""
        found = [queue for queue in self._queues.values() if queue.region == region and queue.name.startswith(prefix)]
        return sorted(found, key=lambda queue: queue.name)

    def create(self, name: str, region: str, *, attributes: Mapping[str, str], tags: Mapping[str, str]) -> Queue:
        """Make a queue, or give the one that has this name and the same attributes.

        Raises SqsError: InvalidParameterValue, QueueDeletedRecently, QueueNameExists, and what `configure` raises.
        """
        fifo = _check_name(name, attributes)
        check_attributes(attributes, now=default_attributes(fifo=fifo))
        arn = self.arn_of(name, region)
        existing = self._queues.get(arn)
        if existing is not None:
            _check_same(existing, attributes)
            return existing
        self._check_deleted(arn)
        self._check_links(arn, attributes)
        check_tags(name, tags)
        queue = Queue(arn, self._around)
        queue.configure(attributes)
        queue.modified_s = queue.created_s
        queue.tags.update(tags)
        self._queues[arn] = queue
        self._keep(queue)
        self._around.watch.touched(arn)
        return queue

    def claim(self, name: str, region: str, *, attributes: Mapping[str, str], tags: Mapping[str, str]) -> Queue | None:
        """A queue that an earlier run kept, with these attributes and tags and no others; None where there is none.

        Only the first claim of a queue finds it. Raises SqsError: what `configure` raises.
        """
        arn = self.arn_of(name, region)
        if arn not in self._unclaimed:
            return None
        fifo = _check_name(name, attributes)
        check_attributes(attributes, now=default_attributes(fifo=fifo))
        self._check_links(arn, attributes)
        check_tags(name, tags)
        self._unclaimed.discard(arn)
        queue = self._queues[arn]
        queue.tags = dict(tags)
        defaults = default_attributes(fifo=fifo)
        gone = queue.attributes.keys() - defaults.keys()
        wanted = dict.fromkeys(gone, "") | merge_attributes(defaults, attributes)
        if any(queue.attributes.get(key, "") != value for key, value in wanted.items()):
            queue.configure(wanted)
        self._keep(queue)
        return queue

    def configure(self, queue: Queue, attributes: Mapping[str, str]) -> None:
        """Change a queue's attributes; nothing changes where one of them is refused.

        Raises SqsError: InvalidAttributeName, InvalidAttributeValue, InvalidParameterValue.
        """
        check_attributes(attributes, now=queue.attributes)
        self._check_links(queue.arn, attributes)
        queue.configure(attributes)
        self._keep(queue)

    def delete(self, queue: Queue) -> None:
        """Delete a queue and its messages. Its name is free again after a minute."""
        self._queues.pop(queue.arn, None)
        self._unclaimed.discard(queue.arn)
        self._deleted[queue.arn] = _Deleted(asyncio.get_running_loop().time())
        queue.close()
        if self._keeper is not None:
            self._keeper.note_deleted(queue.arn)
            self._keeper.flush()

    def sources(self, queue: Queue) -> list[Queue]:
        """The queues of the Region whose dead letters go to `queue`."""
        return [
            source
            for source in self.list(queue.region)
            if source.redrive is not None and source.redrive.target_arn == queue.arn
        ]

    def takes_dead_letters(self, arn: str) -> bool:
        """Whether some queue's dead letters go to the queue `arn`."""
        redrives = (queue.redrive for queue in self._queues.values())
        return any(redrive is not None and redrive.target_arn == arn for redrive in redrives)

    def describe(self, queue: Queue) -> dict[str, str]:
        """Every attribute of a queue, as text."""
        depth = queue.depth
        return {
            **queue.attributes,
            "QueueArn": queue.arn,
            "CreatedTimestamp": str(int(queue.created_s)),
            "LastModifiedTimestamp": str(int(queue.modified_s)),
            "ApproximateNumberOfMessages": str(depth.visible),
            "ApproximateNumberOfMessagesNotVisible": str(depth.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(depth.delayed),
        }

    def admit(self, queue: Queue, action: str, contents: Iterable[Content] = ()) -> None:
        """Count a transaction that came by the API. `contents`: what it sends.

        Raises SqsError: ThrottlingException over 300 a second in a FIFO queue, or in one of its groups.
        """
        if not self.limits_fifo or not queue.is_fifo:
            return
        keys = [(queue.arn, action)]
        if queue.attributes.get("FifoThroughputLimit") == "perMessageGroupId":
            keys = [(queue.arn, action, content.group_id) for content in contents]
        self._rates.admit(keys, asyncio.get_running_loop().time())

    def tag(self, queue: Queue, tags: Mapping[str, str]) -> None:
        """Add or replace tags.

        Raises SqsError: InvalidParameterValue, see `check_tags`.
        """
        merged = queue.tags | dict(tags)
        check_tags(queue.name, merged)
        queue.tags = merged
        self._keep(queue)

    def untag(self, queue: Queue, keys: Collection[str]) -> None:
        """Take tags away; a key that is not there is no error."""
        queue.tags = {key: value for key, value in queue.tags.items() if key not in keys}
        self._keep(queue)

    def together(self) -> AbstractContextManager[None]:
        """What is changed inside is kept in one step at its end; nothing inside may wait."""
        return nullcontext() if self._keeper is None else self._keeper.together()

    def _keep(self, queue: Queue) -> None:
        if self._keeper is not None:
            self._keeper.note_queue(queue.define())
            self._keeper.flush()

    def _check_deleted(self, arn: str) -> None:
        deleted = self._deleted.pop(arn, None)
        if deleted is not None and asyncio.get_running_loop().time() < deleted.at + DELETED_FOR_S:
            self._deleted[arn] = deleted
            raise SqsError(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )

    def _check_links(self, arn: str, attributes: Mapping[str, str]) -> None:
        text = attributes.get("RedrivePolicy", "")
        redrive = parse_redrive(text)
        if redrive is None:
            return
        target = self._queues.get(redrive.target_arn)
        reason = ""
        if target is None or target.region != arn.split(":")[3]:
            reason = "Dead letter target does not exist."
        elif target.is_fifo != arn.endswith(".fifo"):
            reason = "Dead-letter queue must be same type of queue as the source."
        elif not allows_source(target.attributes.get("RedriveAllowPolicy", ""), arn):
            reason = "Queue does not have permission to use the dead letter target."
        if reason:
            raise invalid_value(f"Value {text} for parameter RedrivePolicy is invalid. Reason: {reason}")


def _check_name(name: str, attributes: Mapping[str, str]) -> bool:
    """Whether it is to be a FIFO queue: one has both the suffix and the attribute."""
    fifo = attributes.get("FifoQueue") == "true"
    if fifo and not (_NAME.fullmatch(name.removesuffix(FIFO)) and name.endswith(FIFO) and len(name) <= MAX_NAME_CHARS):
        raise invalid_value(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            f"must end with {FIFO} suffix and be 1 to 80 in length."
        )
    if not fifo and not _NAME.fullmatch(name):
        raise invalid_value("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    return fifo


def _check_same(queue: Queue, attributes: Mapping[str, str]) -> None:
    defaults = {"KmsDataKeyReusePeriodSeconds": DEFAULT_REUSE_S, **default_attributes(fifo=queue.is_fifo)}
    for name, value in attributes.items():
        if (queue.attributes.get(name) or defaults.get(name, "")) != value:
            raise SqsError(
                "QueueNameExists",
                f"A queue already exists with the same name and a different value for attribute {name}",
            )
