"""How long a rehearsed recovery took, and how long it may take by the parameters of the stack. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from localcloud.regions.rehearsal.story import Step
from sluiceway.errors import Misconfigured

__all__ = ["Recovery", "measure_recovery"]

_OBJECTIVES: Final = re.compile(r"recovery time (\d+) min, of which (\d+) min for approval; recovery point (\d+) s")


class Recovery(NamedTuple):
    """Seconds from the loss to the first record that the other Region stored, without what a person took to approve.

    `allowed_s` is RecoveryTimeMinutes less ApprovalMinutes, `approved_s` what the approval took here, and
    `approval_s` what it may take.
    """

    took_s: float
    allowed_s: float
    approved_s: float
    approval_s: float

    @property
    def is_in_time(self) -> bool:
        """Whether both parts were."""
        return self.took_s <= self.allowed_s and self.approved_s <= self.approval_s


def measure_recovery(steps: Sequence[Step], objectives: str) -> Recovery:
    """The recovery in a story's `steps`. `objectives` is the stack's output of that name. Raises Misconfigured."""
    found = _OBJECTIVES.fullmatch(objectives)
    if found is None:
        raise Misconfigured("the stack's output RecoveryObjectives is not as it was", what="RecoveryObjectives")
    approval_s = 60.0 * int(found[2])
    at = {"asked": 0.0, "approved": 0.0, "lost": 0.0, "stored": 0.0}
    for step in reversed(steps):  # the first of each name counts: what comes after is the way back
        for word, ending in (("asked", "is asked for"), ("approved", "is approved"), ("lost", "is lost")):
            if step.name.endswith(ending):
                at[word] = step.at_s
        if step.name.endswith("stores records"):
            at["stored"] = step.at_s
    approved_s = at["approved"] - at["asked"]
    took_s = at["stored"] - at["lost"] - approved_s
    return Recovery(round(took_s, 1), 60.0 * int(found[1]) - approval_s, round(approved_s, 1), approval_s)
