"""Two Regions that share keys: in each weather, and on global tables as the local cloud serves them.

Ten thousand seeds more are in test_regions_home_sim.py and test_regions_strong_sim.py, what must be seen to break the
properties in test_regions_teeth.py. The simulation is `localcloud.simulation`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from localcloud.simulation.history import describe
from localcloud.simulation.run import play, run_seeds
from localcloud.simulation.setting import Setting
from localcloud.simulation.weather import KINDS
from tests.sim.region_seeds import broken, total
from tests.sim.served_world import ServedWorld

SERVED_SEEDS = 100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["home", "strong"])
def test_many_keys_in_each_weather(mode: str, kind: str) -> None:
    """Sixty keys, and a person who fails over while they come."""
    setting = Setting(mode=mode, keys=60, weather=kind, decides_s=5.0)  # type: ignore[arg-type]
    assert broken(list(run_seeds(range(20), setting))) == []


@pytest.mark.parametrize("mode", ["home", "strong"])
def test_global_tables_as_the_local_cloud_serves_them(mode: str) -> None:
    """The same properties on the service, by the shipped store for DynamoDB: conditions, conflicts, the last writer."""
    codes: set[str] = set()

    class World(ServedWorld):
        async def look(self) -> None:
            codes.update(self.codes)
            await super().look()

    setting = Setting(mode=mode, keys=10)  # type: ignore[arg-type]
    results = [play(seed, setting, make_world=World)[1] for seed in range(SERVED_SEEDS)]
    assert broken(results) == []
    assert total(results, "acks") > SERVED_SEEDS
    expected = {"ConditionalCheckFailedException"}
    if mode == "strong":
        expected |= {"InternalServerError", "ReplicatedWriteConflictException"}
    assert expected <= codes


def test_a_seed_gives_the_same_run() -> None:
    """To the last event, and every event can be told."""
    first, second = (play(7, Setting())[0].events for _ in range(2))
    assert first == second
    assert len({describe(event) for event in first}) > 100


def test_the_weather_has_everything_in_it() -> None:
    """Cuts, heals, slow tables, kills, errors before the effect, approvals, refusals, hand-overs and ways back."""
    kinds: Counter[str] = Counter()
    epochs: set[int] = set()
    for seed in range(60):
        history, _ = play(seed, Setting())
        kinds.update(event.kind for event in history.events)
        epochs.update(event.epoch for event in history.of("term"))
    assert epochs == {1, 2, 3}
    expected = {
        "cut",
        "heal",
        "slow",
        "crash",
        "fail",
        "approve",
        "refuse",
        "term",
        "traffic",
        "free",
        "end",
        "claim",
        "drained",
    }
    assert expected <= set(kinds)
