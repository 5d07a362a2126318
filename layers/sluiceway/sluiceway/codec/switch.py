"""Orders to `switch_region`: an Invoke with JSON, an EventBridge schedule, a Lambda step of an ARC Region switch plan.

A schedule publishes. A plan's step without a payload hands the home over to the Region that it runs in, the one that
the plan activates; with a payload it is an order like any other, whose approval is the execution if it names none.
Everything else names its `action`; members that it does not know are refused, so that a misspelt one is no order to do
something else. Source of a step's event: https://docs.aws.amazon.com/arc-region-switch/latest/api/API_Lambdas.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluiceway.codec.shape import malformed, mapping, text
from sluiceway.errors import Rejected
from sluiceway.events.switch import StepRefused, SwitchAction, SwitchOrder

__all__ = ["correlation_id", "decode", "encode", "refuse"]

MAX_APPROVAL_CHARACTERS: Final = 1_024  # it is in every reading of the term
MAX_ID_CHARACTERS: Final = 512
MAX_REGION_CHARACTERS: Final = 32
MAX_MINUTES: Final = 24 * 60
MAX_EPOCH: Final = 2**53 - 1  # whole in the JSON of every reader
SHOWN_CHARACTERS: Final = 64  # of a member's name that nobody knows
_OF_PLAN: Final = frozenset({"InvokedBy", "PlanArn", "ExecutionId", "StepName"})
_MEMBERS: Final[Mapping[SwitchAction, frozenset[str]]] = {
    "look": frozenset({"to"}),
    "publish": frozenset(),
    "raise": frozenset({"to", "approval", "ends", "force"}),
    "drill": frozenset({"minutes", "approval"}),
    "survey": frozenset(),
}


def decode(raw: object) -> SwitchOrder:
    """The order. Raises: Rejected (`malformed-event`), of a plan's step StepRefused."""
    event = mapping(raw, "root")
    if event.get("detail-type") == "Scheduled Event":
        return SwitchOrder("publish", text(event.get("id"), "id"))
    if "PlanArn" in event:
        try:
            return _of_plan(event)
        except Rejected as error:
            raise StepRefused(str(error), reason=error.reason, field=error.field) from error
    return _of_words(event, "")


def encode(reply: Mapping[str, object]) -> Mapping[str, object]:
    """As it is: JSON types."""
    return reply


def refuse(error: Exception) -> Mapping[str, object] | None:
    """What is told of an order that was refused; None for any other error, and a plan's step, which fail."""
    if not isinstance(error, Rejected) or isinstance(error, StepRefused):
        return None
    return {"refused": error.reason, "message": str(error), **({"field": error.field} if error.field else {})}


def correlation_id(event: SwitchOrder) -> str:
    """The schedule's event id, the plan's execution, or what was asked for."""
    return event.order_id


def _of_plan(event: Mapping[str, object]) -> SwitchOrder:
    """A step of a plan runs in the Region that is activated; a person approved the execution, in a step before it."""
    for name in ("PlanArn", "ExecutionId"):
        _short(event.get(name), name, "an id", most=MAX_ID_CHARACTERS)
    execution = text(event.get("ExecutionId"), "ExecutionId")
    approval = f"ARC Region switch, execution {execution}"
    words = {name: value for name, value in event.items() if name not in _OF_PLAN}
    if not words:
        return SwitchOrder("raise", execution, approval=approval, force=True, of_plan=True)
    return _of_words(words, approval)._replace(order_id=execution, of_plan=True)


def _of_words(event: Mapping[str, object], approval: str) -> SwitchOrder:
    """An order that names its action; `approval` is for one that names none."""
    action = text(event.get("action"), "action")
    if action not in _MEMBERS:
        raise malformed("action", "one of " + ", ".join(_MEMBERS))
    known: SwitchAction = action
    for name in event:
        if name != "action" and name not in _MEMBERS[known]:
            raise malformed(name[:SHOWN_CHARACTERS].encode(errors="replace").decode(), f"a member of {action}")
    if known == "look":
        return SwitchOrder(known, "invoke-look", to=_region(event["to"]) if "to" in event else "")
    if known in {"publish", "survey"}:
        return SwitchOrder(known, f"invoke-{known}")
    said = event.get("approval", approval or None)
    decided = _short(said, "approval", "who decided it", most=MAX_APPROVAL_CHARACTERS)
    if known == "drill":
        minutes = _whole(event.get("minutes"), "minutes", MAX_MINUTES)
        return SwitchOrder(known, "invoke-drill", approval=decided, minutes=minutes)
    return SwitchOrder(
        known,
        "invoke-raise",
        to=_region(event.get("to")),
        approval=decided,
        ends=_whole(event.get("ends", 0), "ends", MAX_EPOCH),
        force=_flag(event.get("force", False), "force"),
    )


def _region(value: object) -> str:
    return _short(value, "to", "a Region", most=MAX_REGION_CHARACTERS)


def _short(value: object, member: str, what: str, *, most: int) -> str:
    """Text with something in it, that can be stored. Raises: Rejected."""
    said = text(value, member)
    if not said.strip() or len(said) > most or said != said.encode(errors="replace").decode():
        raise malformed(member, f"{what}, in 1 to {most:,} characters")
    return said


def _whole(value: object, member: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise malformed(member, f"a whole number from 0 to {most}")
    return value


def _flag(value: object, member: str) -> bool:
    if not isinstance(value, bool):
        raise malformed(member, "true or false")
    return value
