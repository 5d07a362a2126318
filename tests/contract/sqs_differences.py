"""Where moto and MiniStack are known to differ from the local cloud's SQS; AWS's pages decide, `docs/fidelity/sqs.md`
says how.

A difference is one of an action, of the two error codes ("" for an answer) and, where these do not tell it, of the
request and the answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.contract.sqs_peers import CRASH, Answer

MOTO, MINISTACK = "moto", "MiniStack"
BOTH = (MOTO, MINISTACK)
VALUE, MISSING, LIMIT = "InvalidParameterValue", "MissingParameter", "OverLimit"
NAME, SETTING, EXISTS = "InvalidAttributeName", "InvalidAttributeValue", "QueueAlreadyExists"
CONTENTS, HANDLE, NO_ACTION = "InvalidMessageContents", "ReceiptHandleIsInvalid", "InvalidAction"
_PREFIX = "AWS.SimpleQueueService."
GONE, EMPTY, IN_FLIGHT = _PREFIX + "NonExistentQueue", _PREFIX + "EmptyBatchRequest", _PREFIX + "MessageNotInflight"
IDS, ENTRY_ID = _PREFIX + "BatchEntryIdsNotDistinct", _PREFIX + "InvalidBatchEntryId"
MOVES = ("CancelMessageMoveTask", "ListMessageMoveTasks", "StartMessageMoveTask")
SETTINGS = ("CreateQueue", "SetQueueAttributes")
When = Callable[[dict[str, Any], Answer, Answer], bool]


@dataclass(frozen=True)
class Difference:
    """Both sides' codes are among `ours` and `theirs`; None stands for any code."""

    name: str
    peers: tuple[str, ...]
    actions: tuple[str, ...]
    ours: tuple[str, ...] | None
    theirs: tuple[str, ...] | None
    when: When = lambda _request, _ours, _theirs: True

    def explains(self, action: str, request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
        return (
            action in self.actions
            and (self.ours is None or ours[0] in self.ours)
            and (self.theirs is None or theirs[0] in self.theirs)
            and self.when(request, ours, theirs)
        )


def failed(answer: Answer) -> dict[str, str]:
    """The codes of a batch's entries that failed, by id."""
    return {entry["Id"]: entry["Code"] for entry in answer[1].get("Failed") or []}


def took_more(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """An entry that is refused here is taken there, or all are refused for one."""
    return set(failed(ours)) > set(failed(theirs))


def took_less(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """An entry that is taken here is refused there."""
    return set(failed(ours)) < set(failed(theirs))


def told_another(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """The same entries fail, with other codes."""
    return set(failed(ours)) == set(failed(theirs))


def is_empty(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """There is an empty list or map where here is nothing."""
    return without_empty(ours[1]) == without_empty(theirs[1])


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        items = {name: without_empty(item) for name, item in value.items()}
        return {name: item for name, item in items.items() if item not in ({}, [], None)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def holds_more(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """There are messages there that were refused, here as well."""
    if "AttributeNames" in request and "Attributes" in theirs[1]:
        here, there = (sum(map(int, counts(answer))) for answer in (ours, theirs))
        return there > here
    here, there = (len(answer[1].get("Messages") or []) for answer in (ours, theirs))
    return there > here


def counts(answer: Answer) -> list[str]:
    attributes = answer[1].get("Attributes") or {}
    return [value for name, value in attributes.items() if name.startswith("ApproximateNumberOfMessages")]


def lacks_attributes(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """What both tell is equal, one tells more: of encryption, of FIFO, or all where none was asked for."""
    here, there = (answer[1].get("Attributes") or {} for answer in (ours, theirs))
    return all(here[name] == there[name] for name in here.keys() & there.keys()) and here.keys() != there.keys()


def has_another_policy(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    here, there = (answer[1].get("Attributes", {}).get("Policy") for answer in (ours, theirs))
    return isinstance(here, dict) and isinstance(there, dict) and here["Version"] != there["Version"]


def has_more_tags(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    return (theirs[1].get("Tags") or {}).items() > (ours[1].get("Tags") or {}).items()


def is_another_page(request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
    """As many names, in another order."""
    return "MaxResults" in request and len(ours[1].get("QueueUrls", ())) == len(theirs[1].get("QueueUrls", ()))


KNOWN = (
    Difference("no-move-tasks", (MOTO,), MOVES, None, (CRASH,)),
    Difference("no-move-tasks", (MINISTACK,), MOVES, None, (NO_ACTION,)),
    Difference("no-dead-letter-sources", (MINISTACK,), ("ListDeadLetterSourceQueues",), None, (NO_ACTION,)),
    Difference(
        "crashes", (MOTO,), (*SETTINGS, "AddPermission", "RemovePermission"), (SETTING, NAME, VALUE, ""), (CRASH,)
    ),
    Difference("any-attribute", BOTH, SETTINGS, (NAME,), ("", EXISTS, SETTING)),
    Difference("any-attribute", (MINISTACK,), ("GetQueueAttributes",), (NAME,), ("",)),
    Difference("any-setting", BOTH, SETTINGS, (SETTING,), ("", EXISTS)),
    Difference("any-queue-name", BOTH, ("CreateQueue",), (VALUE,), ("", SETTING, EXISTS)),
    Difference("another-queue-of-the-name", BOTH, ("CreateQueue",), (EXISTS,), ("",)),
    Difference("nothing-to-set", BOTH, ("SetQueueAttributes",), (MISSING,), ("",)),
    Difference("empty-members", BOTH, ("GetQueueAttributes", "ListQueueTags", "ListQueues"), ("",), ("",), is_empty),
    Difference("tags-of-a-queue-that-was-there", (MOTO,), ("ListQueueTags",), ("",), ("",), has_more_tags),
    Difference("empty-members", BOTH, ("ReceiveMessage",), ("",), ("",), is_empty),
    Difference("order-of-names", BOTH, ("ListQueues",), ("",), ("",), is_another_page),
    Difference("any-page", BOTH, ("ListQueues",), (VALUE,), ("",)),
    Difference("any-tag", BOTH, ("TagQueue",), (VALUE, MISSING), ("",)),
    Difference("any-tag", (MINISTACK,), ("UntagQueue",), (VALUE,), ("",)),
    Difference("any-permission", BOTH, ("AddPermission", "RemovePermission"), (VALUE, MISSING, LIMIT), ("",)),
    Difference(
        "another-fault-of-permissions",
        BOTH,
        ("AddPermission", "RemovePermission"),
        (VALUE, MISSING, LIMIT),
        (VALUE, MISSING, LIMIT),
    ),
    Difference("any-message", BOTH, ("SendMessage",), (VALUE, MISSING, CONTENTS), ("",)),
    Difference(
        "another-fault-of-messages",
        BOTH,
        ("SendMessage",),
        (VALUE, MISSING, CONTENTS, GONE),
        (VALUE, MISSING, CONTENTS),
    ),
    Difference("any-message", BOTH, ("SendMessageBatch",), ("",), ("",), took_more),
    Difference("any-message", BOTH, ("SendMessageBatch",), (VALUE, MISSING), ("",)),
    Difference("another-fault-of-messages", BOTH, ("SendMessageBatch",), ("",), ("",), told_another),
    Difference("one-entry-refuses-all", (MOTO,), ("SendMessageBatch",), ("",), (VALUE,)),
    Difference(
        "another-fault-of-batches",
        BOTH,
        ("ChangeMessageVisibilityBatch", "DeleteMessageBatch", "SendMessageBatch"),
        (VALUE, MISSING, IDS, ENTRY_ID, GONE),
        (VALUE, MISSING, IDS, EMPTY),
    ),
    Difference("no-entries", (MOTO,), ("ChangeMessageVisibilityBatch",), (EMPTY, GONE), ("",)),
    Difference("a-handle-twice", (MOTO,), ("DeleteMessageBatch",), ("",), (IDS,)),
    Difference("any-system-attribute", BOTH, ("ReceiveMessage",), (NAME,), ("", VALUE)),
    Difference("any-receive", BOTH, ("ReceiveMessage",), (VALUE,), ("",)),
    Difference("keeps-what-it-refused", (MOTO,), ("ReceiveMessage",), ("",), (VALUE,)),
    Difference("keeps-what-it-refused", (MOTO,), ("GetQueueAttributes", "ReceiveMessage"), ("",), ("",), holds_more),
    Difference("policy-version", BOTH, ("GetQueueAttributes",), ("",), ("",), has_another_policy),
    Difference("other-attributes", BOTH, ("GetQueueAttributes",), ("",), ("",), lacks_attributes),
    Difference("expired-handle", BOTH, ("DeleteMessage",), (VALUE,), ("",)),
    Difference("expired-handle", BOTH, ("DeleteMessageBatch",), ("",), ("",), took_more),
    Difference("handle-of-what-is-gone", (MINISTACK,), ("DeleteMessage",), ("",), (HANDLE,)),
    Difference("handle-of-what-is-gone", (MINISTACK,), ("DeleteMessageBatch",), ("",), ("",), took_less),
    Difference("purges-at-once", (MINISTACK,), ("PurgeQueue",), (_PREFIX + "PurgeQueueInProgress",), ("",)),
    Difference("another-fault-of-handles", (MOTO,), ("ChangeMessageVisibility",), (GONE,), (VALUE,)),
    Difference("handle-of-what-is-gone", BOTH, ("ChangeMessageVisibility",), (VALUE,), (HANDLE,)),
    Difference("handle-of-what-is-gone", BOTH, ("ChangeMessageVisibilityBatch",), ("",), ("",), told_another),
    Difference("any-visibility", BOTH, ("ChangeMessageVisibility",), (VALUE, IN_FLIGHT), ("",)),
    Difference("any-visibility", BOTH, ("ChangeMessageVisibilityBatch",), ("",), ("",), took_more),
)
