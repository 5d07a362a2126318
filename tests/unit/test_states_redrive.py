"""RedriveExecution: an execution goes on where it did not succeed, and what succeeded is not done again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.services.states.execution import Execution
from tests.unit.states_setup import FUNCTION, FunctionFailed, World, one, run_world

DAY_S = 86_400


class Flaky:
    """A function that fails as often as it is told to, for each input of its own."""

    def __init__(self, fails: Callable[[Any, int], bool]) -> None:
        self.fails = fails
        self.calls: list[Any] = []

    def __call__(self, event: Any) -> Any:
        self.calls.append(event)
        if self.fails(event, self.calls.count(event)):
            raise FunctionFailed("Flaky", "not yet")
        return event


def never(_event: Any, _count: int) -> bool:
    """A function that does not fail."""
    return False


def task(name: str = "f", **fields: Any) -> dict[str, Any]:
    """A task of a function."""
    return {"Type": "Task", "Resource": f"{FUNCTION}{name}", **fields}


def machine(state: dict[str, Any], name: str = "I") -> dict[str, Any]:
    """A machine of one state, for the inside of another."""
    return {"StartAt": name, "States": {name: {**state, "End": True}}}


async def redrive(world: World, execution: Execution, **more: Any) -> Execution:
    """The execution, redriven to its end."""
    await world.ask("RedriveExecution", executionArn=execution.arn, **more)
    await execution.ended.wait()
    return execution


async def described(world: World, execution: Execution) -> dict[str, Any]:
    """DescribeExecution."""
    return await world.ask("DescribeExecution", executionArn=execution.arn)


async def kinds(world: World, execution: Execution) -> list[str]:
    """The types of the events of an execution."""
    return [each.kind for each in execution.history.events]


async def refused(world: World, execution: Execution, **more: Any) -> str:
    """Why an execution is not redriven."""
    status, told = await world.call("RedriveExecution", executionArn=execution.arn, **more)
    assert (status, told["__type"]) == (400, "ExecutionNotRedrivable")
    return told["message"]


def test_an_execution_goes_on_where_it_failed() -> None:
    """With the input and the variables of the state that failed; the history goes on too."""

    async def story(world: World) -> None:
        first, second = Flaky(never), Flaky(lambda _, count: count == 1)
        world.functions |= {"first": first, "second": second}
        states = one(
            task("first", Assign={"v.$": "$.n"}, Next="T"),
            T=task("second", Next="U"),
            U={"Type": "Pass", "Parameters": {"n.$": "$.n", "v.$": "$v", "x.$": "$$.Execution.RedriveCount",
                                             "t.$": "$$.Execution.RedriveTime"}, "End": True},
        )  # fmt: skip
        execution = await world.run(states, {"n": 1})
        assert (execution.status, len(first.calls), len(second.calls)) == ("FAILED", 1, 1)
        found = await described(world, execution)
        assert (found["redriveCount"], found["redriveStatus"]) == (0, "REDRIVABLE")
        await asyncio.sleep(100)
        await redrive(world, execution)
        assert (execution.status, len(first.calls), len(second.calls)) == ("SUCCEEDED", 1, 2)
        assert json.loads(execution.output) == {"n": 1, "v": 1, "x": 1, "t": "2027-01-15T08:01:40.000Z"}
        assert (await kinds(world, execution))[10:] == [
            "ExecutionFailed", "ExecutionRedriven", "LambdaFunctionScheduled", "LambdaFunctionStarted",
            "LambdaFunctionSucceeded", "TaskStateExited", "PassStateEntered", "PassStateExited", "ExecutionSucceeded",
        ]  # fmt: skip
        events = (await world.ask("GetExecutionHistory", executionArn=execution.arn))["events"]
        assert events[11]["executionRedrivenEventDetails"] == {"redriveCount": 1}
        found = await described(world, execution)
        assert (found["redriveCount"], found["redriveDate"], found["redriveStatus"]) == (
            1, 1_800_000_100.0, "NOT_REDRIVABLE",
        )  # fmt: skip
        assert "error" not in found
        assert world.changes[-2:] == [(execution.order.name, "RUNNING"), (execution.order.name, "SUCCEEDED")]

    run_world(story)


def test_retries_begin_anew() -> None:
    """Each redrive has all attempts of the state's retriers again."""

    async def story(world: World) -> None:
        flaky = world.functions["f"] = Flaky(lambda _, count: count < 6)
        retry = [{"ErrorEquals": ["Flaky"], "MaxAttempts": 1}]
        execution = await world.run(one(task(Retry=retry)), 1)
        assert len(flaky.calls) == 2
        await redrive(world, execution)
        assert (execution.status, len(flaky.calls), execution.redrives) == ("FAILED", 4, 1)
        await redrive(world, execution)
        assert (execution.status, len(flaky.calls), execution.redrives) == ("SUCCEEDED", 6, 2)
        assert list(world.machines.find(execution.revision.arn).ended) == [execution]

    run_world(story)


def test_branches_that_succeeded_are_not_run_again() -> None:
    """Those that failed or were ended go on inside, and the results keep their places."""

    async def story(world: World) -> None:
        good, bad = Flaky(never), Flaky(lambda _, count: count == 1)
        world.functions |= {"good": good, "bad": bad}
        begin = {"Type": "Pass", "Result": 3, "Next": "B"}
        slow = {"StartAt": "A", "States": {"A": begin, "B": {"Type": "Wait", "Seconds": 60, "End": True}}}
        before = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "Next": "X"},
                                             "X": task("bad", End=True)}}  # fmt: skip
        state = {"Type": "Parallel", "Branches": [machine(task("good"), "G"), before, slow]}
        execution = await world.run(one(state), 1)
        assert execution.status == "FAILED"
        await redrive(world, execution)
        assert (execution.status, json.loads(execution.output)) == ("SUCCEEDED", [1, 1, 3])
        assert (good.calls, bad.calls) == ([1], [1, 1])
        assert world.loop.time() == pytest.approx(65, abs=0.1)
        found = await kinds(world, execution)
        assert (found.count("ParallelStateStarted"), found.count("WaitStateEntered")) == (1, 2)

    run_world(story)


@pytest.mark.parametrize("language", ["JSONPath", "JSONata"])
def test_iterations_that_succeeded_are_not_run_again(language: str) -> None:
    """Those that never began are run, the others go on; in both languages."""

    async def story(world: World) -> None:
        flaky = world.functions["f"] = Flaky(lambda event, count: event == 2 and count == 1)
        state = {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": machine(task())}
        execution = await world.run({"QueryLanguage": language, **one(state)}, [1, 2, 3])
        assert (execution.status, flaky.calls) == ("FAILED", [1, 2])
        await redrive(world, execution)
        assert (execution.status, json.loads(execution.output)) == ("SUCCEEDED", [1, 2, 3])
        assert flaky.calls == [1, 2, 2, 3]
        found = await kinds(world, execution)
        assert (found.count("MapStateStarted"), found.count("MapIterationStarted")) == (1, 3)

    run_world(story)


def test_a_retried_map_begins_anew() -> None:
    """A retrier runs every iteration again; only a redrive goes on."""

    async def story(world: World) -> None:
        flaky = world.functions["f"] = Flaky(lambda event, count: event == 2 and count == 1)
        retry = [{"ErrorEquals": ["States.ALL"]}]
        state = {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": machine(task()), "Retry": retry}
        execution = await world.run(one(state), [1, 2])
        assert (execution.status, flaky.calls) == ("SUCCEEDED", [1, 2, 1, 2])

    run_world(story)


def test_stopped_and_timed_out_executions_go_on() -> None:
    """A wait begins again, the time of the whole machine too; a Fail state fails again."""

    async def story(world: World) -> None:
        execution = await world.start(await world.create(one({"Type": "Wait", "Seconds": 30})))
        await asyncio.sleep(10)
        await world.ask("StopExecution", executionArn=execution.arn)
        await redrive(world, execution)
        assert (execution.status, world.loop.time()) == ("SUCCEEDED", 40)
        timed = await world.run({**one({"Type": "Wait", "Seconds": 30}), "TimeoutSeconds": 20})
        assert timed.status == "TIMED_OUT"
        begun_s = world.loop.time()
        await redrive(world, timed)
        assert (timed.status, world.loop.time() - begun_s) == ("TIMED_OUT", 20)
        failed = await world.run(one({"Type": "Fail", "Error": "E"}))
        await redrive(world, failed)
        assert (failed.status, failed.error, await kinds(world, failed)) == (
            "FAILED", "E", ["ExecutionStarted", "FailStateEntered", "ExecutionFailed", "ExecutionRedriven",
                            "FailStateEntered", "ExecutionFailed"],
        )  # fmt: skip

    run_world(story)


def test_what_cannot_be_redriven_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs, what succeeded, what ended too long ago, and what has no room for events."""

    async def story(world: World) -> None:
        done = await world.run(one({"Type": "Pass"}))
        assert await refused(world, done) == "Execution Not Redrivable: 'Execution is SUCCEEDED and cannot be redriven'"
        running = await world.start(await world.create(one({"Type": "Wait", "Seconds": 30})))
        assert "Execution is RUNNING and cannot be redriven" in await refused(world, running)
        failed = await world.run(one({"Type": "Fail"}))
        full = await world.run(one({"Type": "Pass", "Next": "T"}, T={"Type": "Fail"}))
        monkeypatch.setattr("localcloud.services.states.redriving.MAX_EVENTS", full.history.count)
        assert "Execution history event limit exceeded" in await refused(world, full)
        await asyncio.sleep(14 * DAY_S + 1)
        assert "Execution redrivable period exceeded" in await refused(world, failed)
        assert (await described(world, failed))["redriveStatusReason"] == "Execution redrivable period exceeded"
        arn = failed.arn.replace(failed.order.name, "other")
        status, told = await world.call("RedriveExecution", executionArn=arn)
        assert (status, told["__type"]) == (400, "ExecutionDoesNotExist")

    run_world(story)


def test_a_clients_token_redrives_once() -> None:
    """The same token is the same redrive for a quarter of an hour."""

    async def story(world: World) -> None:
        failed = await world.run(one({"Type": "Fail"}))
        first = await world.ask("RedriveExecution", executionArn=failed.arn, clientToken="a")
        await asyncio.sleep(60)
        assert await world.ask("RedriveExecution", executionArn=failed.arn, clientToken="a") == first
        assert failed.redrives == 1
        await world.ask("RedriveExecution", executionArn=failed.arn, clientToken="b")
        assert failed.redrives == 2

    run_world(story)


def test_executions_are_listed_by_whether_they_were_redriven() -> None:
    """redriveFilter."""

    async def story(world: World) -> None:
        arn = await world.create(one({"Type": "Fail"}))
        executions = [await world.start(arn, name=name) for name in ("a", "b")]
        for each in executions:
            await each.ended.wait()
        await redrive(world, executions[0])

        async def listed(kind: str) -> list[tuple[str, int]]:
            found = await world.ask("ListExecutions", stateMachineArn=arn, redriveFilter=kind)
            return [(each["name"], each["redriveCount"]) for each in found["executions"]]

        assert (await listed("REDRIVEN"), await listed("NOT_REDRIVEN")) == ([("a", 1)], [("b", 0)])

    run_world(story)


@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_a_maps_run_goes_on_with_the_children_that_did_not_succeed(kind: str) -> None:
    """Standard children are redriven, Express ones begun anew; the run is the same run."""

    async def story(world: World) -> None:
        good = Flaky(never)
        bad = Flaky(lambda event, count: event == 2 and count == 1)
        world.functions |= {"good": good, "bad": bad}
        processor = {
            "StartAt": "A", "States": {"A": task("good", Next="B"), "B": task("bad", End=True)},
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
        }  # fmt: skip
        state = {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": processor}
        execution = await world.run(one(state), [1, 2, 3])
        assert (execution.status, execution.error) == ("FAILED", "States.ExceedToleratedFailureThreshold")
        (run,) = (await world.ask("ListMapRuns", executionArn=execution.arn))["mapRuns"]
        arn = run["mapRunArn"]
        before = await world.ask("DescribeMapRun", mapRunArn=arn)
        assert (before["status"], before["itemCounts"]["failed"], before["itemCounts"]["pending"]) == ("FAILED", 1, 1)
        (child,) = (await world.ask("ListExecutions", mapRunArn=arn, statusFilter="FAILED"))["executions"]
        if kind == "STANDARD":
            told = await world.ask("DescribeExecution", executionArn=child["executionArn"])
            assert told["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
            status, _ = await world.call("RedriveExecution", executionArn=child["executionArn"])
            assert status == 400
        await redrive(world, execution)
        assert (execution.status, json.loads(execution.output)) == ("SUCCEEDED", [1, 2, 3])
        assert bad.calls == [1, 2, 2, 3]
        assert good.calls == ([1, 2, 3] if kind == "STANDARD" else [1, 2, 2, 3])
        after = await world.ask("DescribeMapRun", mapRunArn=arn)
        assert (after["status"], after["redriveCount"], after["itemCounts"]["succeeded"]) == ("SUCCEEDED", 1, 3)
        assert "redriveDate" in after
        children = (await world.ask("ListExecutions", mapRunArn=arn))["executions"]
        assert [each["redriveCount"] for each in children] == ([0, 1, 0] if kind == "STANDARD" else [0, 0, 0])
        found = await kinds(world, execution)
        assert (found.count("MapRunStarted"), found.count("MapRunRedriven")) == (1, 1)
        assert len((await world.ask("ListMapRuns", executionArn=execution.arn))["mapRuns"]) == 1

    run_world(story)


def test_children_wait_for_their_redrive() -> None:
    """They are pending until their turn comes; with a parent that is stopped they are not redriven."""

    async def story(world: World) -> None:
        calls: list[int] = []

        async def slow(event: int) -> int:
            calls.append(event)
            if len(calls) <= 2:
                raise FunctionFailed("E")
            await asyncio.sleep(100)
            return event

        world.functions["f"] = slow
        config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
        processor = {**machine(task()), "ProcessorConfig": config}
        state = {"Type": "Map", "MaxConcurrency": 1, "ToleratedFailureCount": 1, "ItemProcessor": processor}
        execution = await world.run(one(state), [1, 2])
        (run,) = (await world.ask("ListMapRuns", executionArn=execution.arn))["mapRuns"]
        arn = run["mapRunArn"]
        await world.ask("RedriveExecution", executionArn=execution.arn)
        await asyncio.sleep(1)
        counts = (await world.ask("DescribeMapRun", mapRunArn=arn))["itemCounts"]
        assert (counts["running"], counts["pendingRedrive"], counts["failed"]) == (1, 1, 0)
        pending = await world.ask("ListExecutions", mapRunArn=arn, statusFilter="PENDING_REDRIVE")
        assert len(pending["executions"]) == 1
        await world.ask("StopExecution", executionArn=execution.arn)
        counts = (await world.ask("DescribeMapRun", mapRunArn=arn))["itemCounts"]
        assert (counts["aborted"], counts["pendingRedrive"]) == (2, 0)
        await redrive(world, execution)
        assert (execution.status, json.loads(execution.output), calls) == ("SUCCEEDED", [1, 2], [1, 2, 1, 1, 2])

    run_world(story)


def test_logs_count_redrives() -> None:
    """Each event's redrive_count."""

    async def story(world: World) -> None:
        group = "arn:aws:logs:eu-west-1:123456789012:log-group:g:*"
        destinations = [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}]
        logs = {"level": "ALL", "includeExecutionData": True, "destinations": destinations}
        execution = await world.run(one({"Type": "Fail"}), loggingConfiguration=logs)
        await redrive(world, execution)
        told = [json.loads(event.message) for event in world.logs.events("g")]
        assert [each["redrive_count"] for each in told] == ["0"] * 3 + ["1"] * 3

    run_world(story)
