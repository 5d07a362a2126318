"""Two Regions that share keys, over a strongly consistent table: nothing that must hold is broken, by seeds.

A seed that fails is named, and `sluiceway simulate --mode strong --seed N` tells its story.
"""

from __future__ import annotations

import pytest

from localcloud.simulation.run import run_seeds
from localcloud.simulation.setting import Setting
from tests.sim.region_seeds import SEEDS, broken, total


@pytest.mark.parametrize("part", range(4))
def test_a_strong_table_keeps_every_property(part: int) -> None:
    """In every seed; keys are in doubt and not started there too, and none is ever parked."""
    first = 100_000 + part * SEEDS
    results = list(run_seeds(range(first, first + SEEDS), Setting(mode="strong")))
    assert broken(results) == []
    for name in ("in_doubt", "not_started", "begins", "acks"):
        assert (name, total(results, name) > SEEDS // 10) == (name, True)
    assert total(results, "parked") == 0
