"""Metric filters: what the events of a log group are worth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.logs.metric_resources import MetricFilterHandler
from localcloud.services.logs.model import Logs
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext

COUNT = {"MetricNamespace": "App", "MetricName": "Errors", "MetricValue": "1"}


def resource(**properties: Any) -> Resource:
    """A filter of the group `g`."""
    context = StackContext("app", "eu-west-1", "123456789012", "aws", Path())
    given = {"LogGroupName": "g", "FilterPattern": "", "MetricTransformations": [COUNT], **properties}
    return Resource("Made", "AWS::Logs::MetricFilter", given, context)


def counted(*made: Resource, stops: bool = False) -> list[tuple[str, str, float, str]]:
    """What four events of `g` and one of another group put."""
    found: list[tuple[str, str, float, str]] = []

    def put(namespace: str, name: str, value: float, *, dimensions: Mapping[str, str], unit: str = "None") -> None:
        assert dimensions == {}
        found.append((namespace, name, value, unit))

    async def main() -> None:
        logs = Logs(clock=LoopClock(asyncio.get_running_loop()))
        logs.create_group("g")
        handler = MetricFilterHandler(logs, put)
        for each in made:
            physical = await handler.create(each)
            if stops:
                await handler.delete(each, physical)
        for group, message in (
            ("g", "ERROR"), ("g", '{"ms": 7.5, "deep": [{"n": 2}]}'), ("g", '{"ms": "text"}'), ("g", '{"ms": true}'),
            ("other", "ERROR"),
        ):  # fmt: skip
            logs.append(group, "s", message)

    run_virtual(main)
    return found


def test_a_match_is_worth_a_number() -> None:
    """As often as the pattern matches in its own group, until the filter is gone."""
    errors = resource(FilterPattern="ERROR", MetricTransformations=[{**COUNT, "MetricValue": "2", "Unit": "Count"}])
    assert counted(errors) == [("App", "Errors", 2.0, "Count")]
    assert counted(errors, stops=True) == []


@pytest.mark.parametrize(("path", "value"), [("$.ms", 7.5), ("$.deep[0].n", 2.0)])
def test_a_json_event_is_worth_what_stands_in_it(path: str, value: float) -> None:
    """A number at the path; an event without one puts nothing."""
    assert counted(resource(MetricTransformations=[{**COUNT, "MetricValue": path}])) == [
        ("App", "Errors", value, "None")
    ]


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"LogGroupName": "none"}, "The specified log group does not exist."),
        ({"FilterPattern": "[a]"}, "Properties.FilterPattern"),
        ({"MetricTransformations": []}, "must be one transformation"),
        ({"MetricTransformations": [{**COUNT, "MetricValue": "x"}]}, "MetricTransformations[0].MetricValue"),
    ],
)
def test_what_logs_refuses_ends_the_start(properties: dict[str, Any], said: str) -> None:
    """A group that is not there, a pattern that is none, a value that is neither number nor path."""
    with pytest.raises(TemplateError) as caught:
        counted(resource(**properties))
    assert said in str(caught.value)
