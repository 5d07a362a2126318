"""The shipped pair with a pilot light: what rests follows the home, a survey tells, and both Regions are alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

EAST, WEST = "us-east-1", "us-west-2"
TERMS = ("--group", "sluiceway", "--terms-table", "sluiceway-terms", "--terms-region", WEST)
RUNS, RESTS = {"Enabled", "Enabling"}, {"Disabled", "Disabling"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Both Regions of template.yaml, the west a pilot light, the east home."""
    folder = tmp_path_factory.mktemp("pilot-light") / "state"
    cloud = start_cloud(folder, "--regions", f"{EAST},{WEST}", "--parameter-overrides", "StandbyLevel=pilot-light")
    try:
        named = (*TERMS, "--regions", f"{EAST},{WEST}")
        cloud.sluiceway("regions", "found", "--local", *named, "--home", EAST, "--lease-s", "2", "--skew-s", "0")
        yield cloud
    finally:
        cloud.sluiceway("down")


def client(pair: RunningCloud, service: str) -> Any:
    """Of the west's own cloud."""
    address = json.loads((pair.state / WEST / "state.json").read_text())["endpoints"]["aws"]
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client(service, region_name=WEST, endpoint_url=address, **keys)


def states(pair: RunningCloud) -> tuple[set[str], dict[str, str]]:
    """The states of the west's mappings, and of its schedules by the function that they ask."""
    mappings = client(pair, "lambda").list_event_source_mappings()["EventSourceMappings"]
    rules = client(pair, "events").list_rules()["Rules"]
    assert len(mappings) == 4
    return {each["State"] for each in mappings}, {each["Name"].split("-")[1]: each["State"] for each in rules}


def order(pair: RunningCloud, **words: Any) -> dict[str, Any]:
    """What the west's switch_region answers, known by the name that its group gives it."""
    reply = client(pair, "lambda").invoke(FunctionName="sluiceway-switch-region", Payload=json.dumps(words))
    assert "FunctionError" not in reply
    return json.load(reply["Payload"])


def test_what_rests_runs_once_the_standby_is_home(pair: RunningCloud) -> None:
    """Mappings and the hourly schedule; the pair's own schedules are always on."""
    always = {"ProbeRegionMinutely": "ENABLED", "SwitchRegionMinutely": "ENABLED"}
    mappings, rules = states(pair)
    assert mappings <= RESTS
    assert rules == {**always, "VerifyRollupsHourly": "DISABLED"}
    told = order(pair, action="raise", to=WEST, approval="drill", force=True)
    assert (told["home"], told["workload"]) == (WEST, "running")
    mappings, rules = states(pair)
    assert mappings <= RUNS
    assert rules == {**always, "VerifyRollupsHourly": "ENABLED"}
    told = order(pair, action="raise", to=EAST, approval="and back", force=True)
    assert (told["home"], told["workload"]) == (EAST, "resting")
    mappings, rules = states(pair)
    assert mappings <= RESTS
    assert rules == {**always, "VerifyRollupsHourly": "DISABLED"}


def test_a_survey_reads_what_its_role_may(pair: RunningCloud) -> None:
    """Through the layer aws_sdk: the Region's alarms by name, and its health check."""
    survey = order(pair, action="survey")["survey"]
    assert set(survey["alarms"]) == {"sluiceway-other-region-down", "sluiceway-secondary-is-home"}
    assert {each["state"] for each in survey["alarms"].values()} <= {"OK", "ALARM", "INSUFFICIENT_DATA"}
    ((_, check),) = survey["checks"].items()
    assert set(check) == {"healthy", "of"}
    assert "executions" not in survey
    told = pair.sluiceway("regions", "survey", "--to", WEST).stdout.splitlines()
    assert [line.split()[0] for line in told] == ["group", "home", "approval", "alarms", "checks"]
    assert set(json.loads(told[3].removeprefix("alarms    "))) == set(survey["alarms"])


def test_both_regions_are_alike(pair: RunningCloud) -> None:
    """Functions and tables of one template; what this cloud has not is told as not compared."""
    told = pair.sluiceway("regions", "parity", "--local", "--json")
    found = json.loads(told.stdout)
    assert found["differences"] == []
    assert found["alike"] > 100
    assert set(found["unread"]) == {"throttle"}
    other = json.loads(pair.sluiceway("regions", "parity", "--local", "--stack", "another", "--json").stdout)
    assert other["alike"] == 3  # limits that are the Region's: two of streams, one of concurrent invocations
    assert pair.sluiceway("regions", "parity", check=False).returncode == 2
