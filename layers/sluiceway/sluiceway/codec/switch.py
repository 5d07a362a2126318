"""Orders to `switch_region`: an Invoke with JSON, an EventBridge schedule, a Lambda step of an ARC Region switch plan.

A schedule publishes. A plan's step hands the home over to the Region that it runs in, the one that the plan activates.
Everything else names its `action`; members that it does not know are refused, so that a misspelt one is no order to do
something else. Source of a step's event: https://docs.aws.amazon.com/arc-region-switch/latest/api/API_Lambdas.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluiceway.codec.shape import malformed, mapping, optional_text, text
from sluiceway.errors import Rejected
from sluiceway.events.switch import SwitchAction, SwitchOrder

__all__ = ["correlation_id", "decode", "encode", "refuse"]

MAX_APPROVAL_CHARACTERS: Final = 1_024  # it is in every reading of the term
MAX_MINUTES: Final = 24 * 60
MAX_EPOCH: Final = 2**53 - 1  # whole in the JSON of every reader
_MEMBERS: Final[Mapping[SwitchAction, frozenset[str]]] = {
    "look": frozenset({"to"}),
    "publish": frozenset(),
    "raise": frozenset({"to", "approval", "ends", "force"}),
    "drill": frozenset({"minutes", "approval"}),
}


def decode(raw: object) -> SwitchOrder:
    """The order. Raises: Rejected (`malformed-event`)."""
    event = mapping(raw, "root")
    if event.get("detail-type") == "Scheduled Event":
        return SwitchOrder("publish", text(event.get("id"), "id"))
    if "PlanArn" in event:
        return _of_plan(event)
    action = text(event.get("action"), "action")
    if action not in _MEMBERS:
        raise malformed("action", "one of " + ", ".join(_MEMBERS))
    known: SwitchAction = action
    for name in event:
        if name != "action" and name not in _MEMBERS[known]:
            raise malformed(name, f"no member of {action}")
    return SwitchOrder(
        known,
        f"invoke-{action}",
        to=text(event.get("to"), "to") if known == "raise" else optional_text(event.get("to"), "to"),
        approval=_approval(event.get("approval")) if known in {"raise", "drill"} else "",
        ends=_whole(event.get("ends", 0), "ends", MAX_EPOCH),
        force=_flag(event.get("force", False), "force"),
        minutes=_whole(event.get("minutes", 0), "minutes", MAX_MINUTES),
    )


def encode(reply: Mapping[str, object]) -> Mapping[str, object]:
    """As it is: JSON types."""
    return reply


def refuse(error: Exception) -> Mapping[str, object] | None:
    """What is told of an order that was refused; None for any other error, which fails the invocation."""
    if not isinstance(error, Rejected):
        return None
    return {"refused": error.reason, "message": str(error), **({"field": error.field} if error.field else {})}


def correlation_id(event: SwitchOrder) -> str:
    """The schedule's event id, the plan's execution, or what was asked for."""
    return event.order_id


def _of_plan(event: Mapping[str, object]) -> SwitchOrder:
    """A step of a plan runs in the Region that is activated; a person approved the execution, in a step before it."""
    execution = text(event.get("ExecutionId"), "ExecutionId")
    approval = f"ARC Region switch, execution {execution}"
    return SwitchOrder("raise", execution, approval=approval[:MAX_APPROVAL_CHARACTERS], force=True)


def _approval(value: object) -> str:
    approval = text(value, "approval")
    if not approval.strip() or len(approval) > MAX_APPROVAL_CHARACTERS:
        raise malformed("approval", f"who decided it, in 1 to {MAX_APPROVAL_CHARACTERS:,} characters")
    return approval


def _whole(value: object, member: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise malformed(member, f"a whole number from 0 to {most}")
    return value


def _flag(value: object, member: str) -> bool:
    if not isinstance(value, bool):
        raise malformed(member, "true or false")
    return value
