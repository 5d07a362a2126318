"""A real failover of two Regions over sockets: under load, on approval, and back; every record of it counted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.local.conftest import RunningCloud, start_cloud
from tests.local.test_two_regions import EAST, WEST

REQUESTS, RATE = 2_000, 8
PROBE_S = 2
# docs/failover.md, "How long recovery takes"; the machine of a test may have better things to do for as long again.
DETECTED_S, MOVED_S = 2 * 40, 2 * (130 + 60)

pytestmark = [pytest.mark.local, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    state = tmp_path_factory.mktemp("pair") / "state"
    cloud = start_cloud(
        state, "--model", "scripted", "--regions", f"{EAST},{WEST}", "--parameter-overrides", f"ProbeSeconds={PROBE_S}"
    )
    table = ("--terms-table", "sluiceway-terms", "--terms-region", WEST)
    group = ("--group", "sluiceway", "--regions", f"{EAST},{WEST}")
    cloud.sluiceway("regions", "found", "--local", *group, *table, "--home", EAST)
    yield cloud
    cloud.sluiceway("down")


def test_nothing_moves_unapproved_and_no_record_is_lost_or_stored_twice(
    pair: RunningCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    """The home is killed among 2,000 requests; what happened when is printed, and every ambiguous key is listed."""
    words = ("--requests", str(REQUESTS), "--rate", str(RATE), "--json")
    done = pair.sluiceway("regions", "rehearse", *words, check=False)
    with capsys.disabled():
        print(f"\n{done.stderr}")  # the recovery times, for whoever reads what CI printed
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    counts = told["counts"]
    assert {name: counts[name] for name in ("twice", "lost", "unlisted", "unknown", "refused")} == dict.fromkeys(
        ("twice", "lost", "unlisted", "unknown", "refused"), 0
    )
    assert counts["stored"] + counts["in_doubt"] == REQUESTS
    assert told["recovery"]["is_in_time"], told["recovery"]
    after = {step["name"]: step["after_s"] for step in told["steps"]}
    assert after[f"approval for {WEST} is asked for"] < DETECTED_S
    for region in (EAST, WEST):
        assert after[f"clients are answered by {region}"] < MOVED_S
    assert any("not-home" in answer or "Error" in answer for answer in told["answers"])  # clients did meet the outage
