"""What keeps queues beyond the process must do. Knows neither the rules of queues nor where they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from localcloud.services.sqs.fifo import Accepted, Key
from localcloud.services.sqs.held import Held

__all__ = ["Definition", "Keeper"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A queue without its messages. `..._s` are dates in epoch seconds; `purged_s` is 0 where it never was."""

    arn: str
    attributes: Mapping[str, str]
    tags: Mapping[str, str]
    created_s: float
    modified_s: float
    purged_s: float = 0.0


class Keeper(Protocol):
    """Notes what an operation changes, and keeps all of it in one step when the operation ends."""

    def load(self) -> Iterator[tuple[Definition, list[Held]]]:
        """Every kept queue with its messages, in the order in which those became or become visible."""
        ...

    def note_queue(self, definition: Definition) -> None:
        """A queue was made or changed."""
        ...

    def note_deleted(self, arn: str) -> None:
        """A queue was deleted; its messages are noted apart."""
        ...

    def note_sent(self, arn: str, held: Held) -> None:
        """A new message, or one that another FIFO queue's dead letter became."""
        ...

    def note_accepted(self, arn: str, key: Key, accepted: Accepted) -> None:
        """A FIFO queue will take what has this key for a duplicate, for the next five minutes."""
        ...

    def load_accepted(self, arn: str) -> Iterator[tuple[Key, Accepted]]:
        """What a FIFO queue accepted in the last five minutes, the oldest first."""
        ...

    def note(self, arn: str, held: Held) -> None:
        """A message changed, or came from another queue, or is gone."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Keep all that is noted inside in one step at its end; nothing inside may wait."""
        ...

    def flush(self) -> None:
        """Keep what was noted; nothing to do where nothing was, or inside `together`."""
        ...
