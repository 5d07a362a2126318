"""docs/chaos.md: its plans are plans, and it names every fault that there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from localcloud.chaos.faults import CallFault, FunctionFault, RegionFault
from localcloud.chaos.plan import read_plan

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "chaos.md").read_text(encoding="utf-8")


def test_its_plans_can_be_read() -> None:
    """Each block of JSON is a plan as it stands."""
    plans = [read_plan(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
    assert [len(plan.steps) for plan in plans] == [3, 1]


def test_it_has_a_row_for_every_fault_and_no_other() -> None:
    """So that none is claimed, and none is hidden."""
    faults = {fault.name for kind in (FunctionFault, CallFault, RegionFault) for fault in get_args(kind)}
    assert set(re.findall(r"^\| `([a-z]+\.[a-z-]+)` \|", TEXT, re.MULTILINE)) == faults
