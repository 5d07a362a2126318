"""What `switch_region` is asked to do: by a person, by a plan that a person approved, or by the clock."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sluiceway.errors import Rejected

__all__ = ["StepRefused", "SwitchAction", "SwitchOrder"]

SwitchAction = Literal["look", "publish", "raise", "drill", "survey"]


class SwitchOrder(NamedTuple):
    """One order. `to` ("": the Region that is asked), `ends` and `force` are of `raise`, `minutes` of `drill`.

    `approval` is of both: who decided it. A drill of 0 minutes ends one. `force` hands over whatever speaks against it.
    `ends` is the epoch that the approval is about, 0 where it does not say. `order_id` is for logs. `of_plan`: a plan's
    step asks, which goes by whether the invocation failed and reads no answer.
    """

    action: SwitchAction
    order_id: str
    to: str = ""
    approval: str = ""
    ends: int = 0
    force: bool = False
    minutes: int = 0
    of_plan: bool = False


class StepRefused(Rejected):
    """A step of a plan that was refused: the invocation fails, so that the plan tries it again and does not go on."""
