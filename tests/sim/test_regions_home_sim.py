"""Two Regions that share keys, one of them their home: nothing that must hold is broken, by seeds.

A seed that fails is named, and `sluiceway simulate --mode home --seed N` tells its story.
"""

from __future__ import annotations

import pytest

from localcloud.simulation.run import run_seeds
from localcloud.simulation.setting import Setting
from tests.sim.region_seeds import SEEDS, broken, total


@pytest.mark.parametrize("part", range(4))
def test_a_home_region_keeps_every_property(part: int) -> None:
    """In every seed; and the seeds have what they are there for: failovers, keys parked, in doubt and not started."""
    first = part * SEEDS
    results = list(run_seeds(range(first, first + SEEDS), Setting(mode="home")))
    assert broken(results) == []
    for name in ("parked", "in_doubt", "not_started", "begins", "acks"):
        assert (name, total(results, name) > SEEDS // 10) == (name, True)
