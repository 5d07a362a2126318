"""A message as its queue holds it, what a receive shows of it, and receipt handles. Pure; knows no time of its own."""

from __future__ import annotations

import base64
import binascii
import random
from dataclasses import dataclass
from enum import Enum
from typing import Final

from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import Content, Message

__all__ = ["TIMED", "Depth", "Held", "State", "deliver", "read_handle"]


class State(Enum):
    """Where a message is in its life."""

    VISIBLE = 1
    DELAYED = 2
    IN_FLIGHT = 3
    GONE = 4


TIMED: Final = (State.DELAYED, State.IN_FLIGHT)


@dataclass(slots=True, eq=False)
class Held:
    """A message in a queue. `due` and `received_at` are loop time, `..._s` dates in epoch seconds.

    `turn` is its latest among those that wait for their time; older ones have lapsed. `shown` counts on, in its queue,
    whenever a message becomes visible. `receives` counts in this queue, `receives_ever` in those before it as well.
    `sequence` is FIFO's number in this queue, 0 elsewhere. `kept_since_s` is what retention counts from. `moved_s`:
    when it came as a dead letter, 0 where nobody noted that.
    """

    message_id: str
    content: Content
    sender_id: str
    sent_s: float
    state: State = State.VISIBLE
    due: float = 0.0
    turn: int = 0
    receives: int = 0
    receives_ever: int = 0
    first_received_s: float = 0.0
    received_at: float = 0.0
    dead_letter_source: str = ""
    sequence: int = 0
    kept_since_s: float = 0.0
    shown: int = 0
    moved_s: float = 0.0
    is_scanned: bool = False  # of a FIFO queue: among the messages that it looks for groups in


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages there are, by state."""

    visible: int
    in_flight: int
    delayed: int


def deliver(held: Held, arn: str, rng: random.Random) -> Message:
    """What the receive that was just counted gives, with a receipt handle of its own."""
    handle = f"{arn} {held.message_id} {held.receives} {rng.getrandbits(64):016x}"
    return Message(held.message_id, base64.b64encode(handle.encode()).decode(), held.content, _system_attributes(held))


def read_handle(receipt_handle: str, arn: str) -> tuple[str, int]:
    """The message id and the number of the receive that made the handle.

    Raises SqsError: ReceiptHandleIsInvalid where the queue `arn` did not make it.
    """
    try:
        maker, message_id, receives, _ = base64.b64decode(receipt_handle, validate=True).decode().split(" ")
        if maker == arn:
            return message_id, int(receives)
    except (ValueError, binascii.Error):
        pass
    raise SqsError(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{receipt_handle}" is not a valid receipt handle.'
    )


def _system_attributes(held: Held) -> dict[str, str]:
    found = {
        "SenderId": held.sender_id,
        "SentTimestamp": str(int(held.sent_s * 1000)),
        "ApproximateReceiveCount": str(held.receives_ever),
        "ApproximateFirstReceiveTimestamp": str(int(held.first_received_s * 1000)),
    }
    found |= {name: str(attribute.value) for name, attribute in held.content.system.items()}
    if held.content.group_id:
        found["MessageGroupId"] = held.content.group_id
    if held.sequence:
        found["MessageDeduplicationId"] = held.content.deduplication_id
        found["SequenceNumber"] = str(held.sequence)
    if held.dead_letter_source:
        found["DeadLetterQueueSourceArn"] = held.dead_letter_source
    return found
