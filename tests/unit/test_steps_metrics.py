"""steps.metrics: one embedded-format document an invocation."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from sluiceway.errors import DeadlineExceeded, Misconfigured
from sluiceway.events.invocation import Invocation
from sluiceway.steps.metrics import MAX_COUNTS, count, count_of, metrics


def call(name: str = "read_job", *, cold: bool = False) -> Invocation:
    """An invocation."""
    return Invocation(request_id="r", function_name=name, function_arn="arn", deadline=0, cold_start=cold)


def documents(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was written, parsed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(autouse=True)
def namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template's setting."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Sluiceway")


async def test_metrics_are_written_once_at_the_end(capsys: pytest.CaptureFixture[str]):
    """Values of one name are kept apart, units and namespace are CloudWatch's, the dimension is the function."""

    async def flow(_event: object, _call: Invocation) -> object:
        count("JobsSucceeded")
        count("JobsSucceeded", 2)
        count("PromptBytes", 1024, unit="Bytes")
        assert capsys.readouterr().out == ""
        return None

    await metrics(flow)(None, call(cold=True))
    (document,) = documents(capsys)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Sluiceway", [["service"]])
    assert sorted((metric["Name"], metric["Unit"]) for metric in directive["Metrics"]) == [
        ("ColdStart", "Count"),
        ("JobsSucceeded", "Count"),
        ("PromptBytes", "Bytes"),
    ]
    assert (document["service"], document["JobsSucceeded"], document["PromptBytes"]) == ("read_job", [1, 2], [1024])


async def test_an_invocation_without_metrics_writes_nothing(capsys: pytest.CaptureFixture[str]):
    """No empty documents, and no warning about them."""

    async def flow(_event: object, _call: Invocation) -> object:
        return None

    await metrics(flow)(None, call())
    assert documents(capsys) == []


async def test_a_failed_invocation_keeps_its_metrics(capsys: pytest.CaptureFixture[str]):
    """And one that ran out of time counts that."""

    async def flow(_event: object, _call: Invocation) -> object:
        count("JobsFailed")
        raise DeadlineExceeded("late")

    with pytest.raises(DeadlineExceeded):
        await metrics(flow)(None, call())
    (document,) = documents(capsys)
    assert (document["JobsFailed"], document["DeadlineExceeded"]) == ([1], [1])


async def test_concurrent_invocations_do_not_mix(capsys: pytest.CaptureFixture[str]):
    """Each gathers its own, in tasks too."""

    async def one(value: int) -> None:
        await asyncio.sleep(0)
        count("Value", value)

    async def flow(event: object, _call: Invocation) -> object:
        async with asyncio.TaskGroup() as group:
            for value in range(3):
                group.create_task(one(value + 10 * int(str(event))))
        return None

    run = metrics(flow)
    async with asyncio.TaskGroup() as group:
        for number in range(1, 4):
            group.create_task(run(number, call(f"f{number}")))
    assert sorted((document["service"], sorted(document["Value"])) for document in documents(capsys)) == [
        ("f1", [10, 11, 12]),
        ("f2", [20, 21, 22]),
        ("f3", [30, 31, 32]),
    ]


def test_counting_without_the_step_is_nothing(capsys: pytest.CaptureFixture[str]):
    """A flow counts without knowing whether its function publishes."""
    count("JobsSucceeded")
    assert documents(capsys) == []


def test_a_missing_namespace_fails_at_init(monkeypatch: pytest.MonkeyPatch):
    """Metrics in no namespace would be lost with the first invocation that has some."""
    monkeypatch.delenv("POWERTOOLS_METRICS_NAMESPACE")

    async def flow(_event: object, _call: Invocation) -> object:
        return None

    with pytest.raises(Misconfigured, match="POWERTOOLS_METRICS_NAMESPACE is not set"):
        metrics(flow)


def test_powertools_is_imported_when_the_environment_opens():
    """At init, not with the module and not in somebody's request: every cold start has a metric."""
    code = (
        "import sys; from sluiceway.steps.metrics import metrics; seen = ['aws_lambda_powertools' in sys.modules];"
        "metrics(print); seen.append('aws_lambda_powertools' in sys.modules); print(seen)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": "layers/sluiceway", "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == b"[False, True]"


async def test_what_has_dimensions_of_its_own_is_a_document_each(capsys: pytest.CaptureFixture[str]):
    """Beside the function's: one set of dimensions, members of the document; what is 0 is left out, and who counts
    nothing writes nothing. A failed invocation writes its own, too."""

    async def flow(_event: object, _call: Invocation) -> object:
        count_of({"topic": "orders", "rule": "large"}, {"RuleSent": 3, "RuleReturned": 0, "RuleDroppedRefused": 2})
        count_of({"topic": "orders", "rule": "small"}, {"RuleSent": 0})
        assert capsys.readouterr().out == ""
        raise DeadlineExceeded("late")

    with pytest.raises(DeadlineExceeded):
        await metrics(flow)(None, call())
    late, large = documents(capsys)
    assert late["DeadlineExceeded"] == [1]
    stamp = large["_aws"].pop("Timestamp")
    assert abs(stamp - late["_aws"]["Timestamp"]) < 60_000
    directive = {
        "Namespace": "Sluiceway",
        "Dimensions": [["service", "topic", "rule"]],
        "Metrics": [{"Name": "RuleSent", "Unit": "Count"}, {"Name": "RuleDroppedRefused", "Unit": "Count"}],
    }
    assert large == {
        "_aws": {"CloudWatchMetrics": [directive]},
        "service": "read_job",
        "topic": "orders",
        "rule": "large",
        "RuleSent": 3,
        "RuleDroppedRefused": 2,
    }


@pytest.mark.parametrize(("dimensions", "numbers"), [(0, 1), (30, 1), (1, MAX_COUNTS + 1)])
def test_a_document_is_within_the_formats_limits(dimensions: int, numbers: int):
    """30 dimensions, the function's among them, and 100 metrics: CloudWatch would take none of it otherwise."""
    count_of({str(each): "x" for each in range(29)}, {str(each): 1 for each in range(100)})
    with pytest.raises(ValueError, match="1 to 29 dimensions and 100 metrics"):
        count_of({str(each): "x" for each in range(dimensions)}, {str(each): 1 for each in range(numbers)})
