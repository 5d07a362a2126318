"""What a FIFO queue knows beside its messages: what was sent in the last five minutes, its sequence, its receives.

A message sent again within five minutes is accepted and not delivered again, whether the first is still there or not.
A receive asked for again by its ReceiveRequestAttemptId gives the same messages. Knows no order of messages.
Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from localcloud.services.sqs.errors import SqsError, invalid_value, missing
from localcloud.services.sqs.held import Held, State
from localcloud.services.sqs.message import Content, Message

__all__ = ["REMEMBERED_S", "Accepted", "Attempt", "Attempts", "Key", "Recent", "check_batch", "identify", "key_of"]

REMEMBERED_S: Final = 300.0  # SendMessage and ReceiveMessage: the deduplication interval, five minutes
_FIRST_SEQUENCE: Final = 10**19  # 20 digits, as AWS's have; nanoseconds since 1970 fit above it until 2250
_NO_DEDUPLICATION: Final = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a message a duplicate. `group_id` is "" where the whole queue is the scope."""

    group_id: str
    deduplication_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that was sent; `sequence` is 0 in a standard queue, `sent_s` in epoch seconds."""

    message_id: str
    sequence: int
    sent_s: float


def identify(content: Content, attributes: Mapping[str, str]) -> Content:
    """`content` with its deduplication id: the producer's, or the SHA-256 of the body where content decides.

    Raises SqsError: MissingParameter, InvalidParameterValue.
    """
    if not content.group_id:
        raise missing("MessageGroupId")
    if content.deduplication_id:
        return content
    if attributes.get("ContentBasedDeduplication") != "true":
        raise invalid_value(_NO_DEDUPLICATION)
    digest = hashlib.sha256(content.body.encode(errors="surrogatepass")).hexdigest()  # a bad body is refused elsewhere
    return replace(content, deduplication_id=digest)


def check_batch(contents: Iterable[Content], attributes: Mapping[str, str]) -> None:
    """Refuse a batch where one of its messages lacks an id: AWS takes none of it then.

    Raises SqsError: InvalidParameterValue.
    """
    try:
        for content in contents:
            identify(content, attributes)
    except SqsError as error:
        raise invalid_value(error.message) from error


def key_of(content: Content, attributes: Mapping[str, str]) -> Key:
    """The key of an identified message, in the scope that the queue has now."""
    is_grouped = attributes.get("DeduplicationScope") == "messageGroup"
    return Key(content.group_id if is_grouped else "", content.deduplication_id)


class Recent:
    """The messages sent in the last five minutes, and the last sequence number. Dates are epoch seconds."""

    def __init__(self) -> None:
        self._accepted: dict[Key, Accepted] = {}
        self._order: deque[tuple[float, Key]] = deque()
        self._sequence = 0

    def find(self, key: Key, now_s: float) -> Accepted | None:
        """The message that one of this key duplicates."""
        while self._order and self._order[0][0] <= now_s - REMEMBERED_S:
            self._accepted.pop(self._order.popleft()[1], None)
        return self._accepted.get(key)

    def add(self, key: Key, accepted: Accepted) -> None:
        """A message was sent."""
        self._accepted[key] = accepted
        self._order.append((accepted.sent_s, key))
        self.saw(accepted.sequence)

    def next_sequence(self, now_s: float) -> int:
        """The next sequence number: greater than every one before, in earlier runs of the process too."""
        self._sequence = max(self._sequence + 1, _FIRST_SEQUENCE + int(now_s * 1e9))
        return self._sequence

    def saw(self, sequence: int) -> None:
        """A sequence number of an earlier run."""
        self._sequence = max(self._sequence, sequence)


class Attempt:
    """A receive: `at`, in the loop's time, what it gave, and the messages as it leaves them."""

    def __init__(self, at: float, messages: list[Message], held: Sequence[Held]) -> None:
        self.at = at
        self.messages = messages
        self.held = held
        self._left = [(one.receives, one.due) for one in held]

    def can_repeat(self) -> bool:
        """Whether every message is still as the receive left it: hidden, for as long, and received by nobody else."""
        now = [(one.receives, one.due) for one in self.held]
        return now == self._left and all(one.state is State.IN_FLIGHT for one in self.held)


class Attempts:
    """Receives by their ReceiveRequestAttemptId, for five minutes. Times are the loop's."""

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}
        self._order: deque[tuple[float, str]] = deque()

    def find(self, attempt_id: str, now: float) -> Attempt | None:
        """The receive with this id, None where there was none.

        Raises SqsError: InvalidParameterValue where a message was deleted, shown, or hidden for another time since.
        """
        while self._order and self._order[0][0] <= now - REMEMBERED_S:
            self._attempts.pop(self._order.popleft()[1], None)
        attempt = self._attempts.get(attempt_id)
        if attempt is not None and not attempt.can_repeat():
            raise invalid_value(
                f"Value {attempt_id} for parameter ReceiveRequestAttemptId is invalid. Reason: "
                "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
            )
        return attempt

    def note(self, attempt_id: str, attempt: Attempt) -> None:
        """Keep a receive, or one of the same time in its place."""
        if attempt_id not in self._attempts:
            self._order.append((attempt.at, attempt_id))
        self._attempts[attempt_id] = attempt
