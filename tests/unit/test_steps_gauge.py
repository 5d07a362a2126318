"""steps.gauge: metrics that count as soon as they are put."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from sluiceway.steps.gauge import EmbeddedGauge
from tests.fakes import EPOCH_MS
from tests.unit.test_cloudwatch_embedded import Listening


class FixedClock:
    """One date."""

    def now_ms(self) -> int:
        return EPOCH_MS


def put(resolution_s: Literal[1, 60], values: dict[str, float], **dimensions: str) -> None:
    EmbeddedGauge("Sluiceway", FixedClock(), resolution_s=resolution_s).put(values, **dimensions)


def read(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("resolution_s", [1, 60])
def test_a_line_is_written_at_once(resolution_s: Literal[1, 60], capsys: pytest.CaptureFixture[str]) -> None:
    """One document of the embedded format: namespace, date, dimensions, and each metric at its resolution."""
    put(resolution_s, {"IsHome": 1, "Epoch": 7}, Group="shop")
    metrics = [{"Name": name, "StorageResolution": resolution_s} for name in ("IsHome", "Epoch")]
    directive = {"Namespace": "Sluiceway", "Dimensions": [["Group"]], "Metrics": metrics}
    assert read(capsys) == [
        {
            "_aws": {"Timestamp": EPOCH_MS, "CloudWatchMetrics": [directive]},
            "Group": "shop",
            "IsHome": 1,
            "Epoch": 7,
        }
    ]


def test_a_value_may_have_an_earlier_date(capsys: pytest.CaptureFixture[str]) -> None:
    """That of the reading that it tells."""
    EmbeddedGauge("Sluiceway", FixedClock(), resolution_s=60).put({"IsHome": 1}, at_ms=EPOCH_MS - 5, Group="shop")
    assert read(capsys)[0]["_aws"]["Timestamp"] == EPOCH_MS - 5


def test_each_put_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """And the next one is another document, with no dimension left over."""
    put(1, {"RegionHealthy": 0, "ProbeTime": 4000.5}, Region="us-west-2")
    put(1, {"RegionHealthy": 1})
    first, second = read(capsys)
    assert (first["RegionHealthy"], first["ProbeTime"], first["Region"]) == (0, 4000.5, "us-west-2")
    assert second["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]
    assert "Region" not in second


async def test_cloudwatch_takes_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The metric that an alarm asks for, under its name and dimension; nothing is wrong with the document."""
    world = Listening()
    for value in (0, 1):
        gauge = EmbeddedGauge("Sluiceway", SecondsClock(world), resolution_s=60)
        gauge.put({"IsHome": value, "Epoch": 7}, Group="shop")
        world.say(capsys.readouterr().out.rstrip("\n"))
    assert await world.read("IsHome", "Sluiceway", Group="shop") == [(1.0, 2.0, "None")]
    assert await world.errors() == (0, 0)


class SecondsClock:
    """The date of the CloudWatch that is asked."""

    def __init__(self, world: Listening) -> None:
        self._world = world

    def now_ms(self) -> int:
        return round(self._world.clock.now * 1000)
