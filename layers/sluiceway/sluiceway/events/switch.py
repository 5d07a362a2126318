"""What `switch_region` is asked to do: by a person, by a plan that a person approved, or by the clock."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["SwitchAction", "SwitchOrder"]

SwitchAction = Literal["look", "publish", "raise", "drill"]


class SwitchOrder(NamedTuple):
    """One order. `to` ("": the Region that is asked), `ends` and `force` are of `raise`, `minutes` of `drill`.

    `approval` is of both: who decided it. A drill of 0 minutes ends one. `force` hands over whatever speaks against it.
    `ends` is the epoch that the approval is about, 0 where it does not say. `order_id` is for logs.
    """

    action: SwitchAction
    order_id: str
    to: str = ""
    approval: str = ""
    ends: int = 0
    force: bool = False
    minutes: int = 0
