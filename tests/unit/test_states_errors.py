"""Retries, catchers, time-outs, branches that fail and limits of executions, on the virtual clock."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from localcloud.services.states.history import MAX_EVENTS, History, HistoryFull
from tests.unit.states_setup import FUNCTION, FunctionFailed, World, one, result_of, run_world

TASK: dict[str, Any] = {"Type": "Task", "Resource": f"{FUNCTION}f"}
CAUGHT = {"Type": "Pass", "End": True}


def failing(kind: str, times: int = 1000) -> tuple[list[float], Any]:
    """A function that fails so many times, and when it was called."""
    called: list[float] = []

    def function(_event: Any) -> str:
        called.append(round(asyncio.get_running_loop().time(), 3))
        if len(called) <= times:
            raise FunctionFailed(kind, "no")
        return "done"

    return called, function


def test_waits_grow_by_the_backoff_to_their_longest() -> None:
    """1, 2, 4, then 5 seconds, and no more tries than MaxAttempts after the first."""
    called, function = failing("E")
    retry = {"ErrorEquals": ["E"], "MaxAttempts": 5, "MaxDelaySeconds": 5}
    assert result_of(one({**TASK, "Retry": [retry]}), functions={"f": function})[1] == "E"
    assert called == [0, 1, 3, 7, 12, 17]


def test_three_attempts_by_default_and_none_for_zero() -> None:
    """MaxAttempts 0 never retries."""
    called, function = failing("E")
    assert result_of(one({**TASK, "Retry": [{"ErrorEquals": ["E"]}]}), functions={"f": function})[1] == "E"
    assert called == [0, 1, 3, 7]
    called, function = failing("E")
    never = {**TASK, "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 0}, {"ErrorEquals": ["States.ALL"]}]}
    assert result_of(one(never), functions={"f": function})[1] == "E"
    assert called == [0]


def test_jitter_is_anywhere_up_to_the_wait() -> None:
    """FULL draws from nothing to the whole wait; the seed decides."""
    called, function = failing("E")
    retry = {"ErrorEquals": ["E"], "IntervalSeconds": 100, "MaxAttempts": 8, "BackoffRate": 1, "JitterStrategy": "FULL"}
    result_of(one({**TASK, "Retry": [retry]}), functions={"f": function})
    waits = [after - before for before, after in pairwise(called)]
    assert len(set(waits)) == 8
    assert all(0 <= wait <= 100 for wait in waits)


def test_each_retrier_counts_its_own() -> None:
    """An error of another retrier does not use up the first one's attempts; RetryCount counts all."""
    kinds, seen = iter(["A", "B", "A", "B", ""]), list[int]()

    def function(event: Any) -> str:
        seen.append(event["n"])
        kind = next(kinds)
        if kind:
            raise FunctionFailed(kind)
        return "done"

    retriers = [{"ErrorEquals": [kind], "MaxAttempts": 2} for kind in "AB"]
    machine = one({**TASK, "Parameters": {"n.$": "$$.State.RetryCount"}, "Retry": retriers})
    assert result_of(machine, functions={"f": function}) == "done"
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "names", "caught"),
    [
        ("E", ["E"], True),
        ("E", ["States.TaskFailed"], True),
        ("E", ["States.ALL"], True),
        ("E", ["F"], False),
        ("States.Timeout", ["States.TaskFailed"], False),
        ("States.Timeout", ["States.ALL"], True),
        ("States.HeartbeatTimeout", ["States.Timeout"], True),
        ("States.Runtime", ["States.ALL"], False),
        ("States.Runtime", ["States.Runtime"], False),
        ("States.DataLimitExceeded", ["States.ALL"], False),
    ],
)
def test_which_names_take_which_errors(kind: str, names: list[str], caught: bool) -> None:
    """States.ALL takes all but two, States.TaskFailed all but time-outs."""
    _, function = failing(kind)
    machine = one({**TASK, "Catch": [{"ErrorEquals": names, "Next": "C"}], "Next": "C"}, C=CAUGHT)
    found = result_of(machine, functions={"f": function})
    assert isinstance(found, dict) is caught


def test_a_catcher_puts_the_error_into_the_raw_input() -> None:
    """By its own ResultPath, whatever InputPath and Parameters made of the input; and sets variables."""
    _, function = failing("E")
    catch = {"ErrorEquals": ["E"], "ResultPath": "$.why", "Next": "C", "Assign": {"name.$": "$.Error"}}
    machine = one(
        {**TASK, "InputPath": "$.a", "Catch": [catch], "Next": "C"},
        C={"Type": "Pass", "Parameters": {"all.$": "$", "v.$": "$name"}, "End": True},
    )
    cause = json.dumps({"errorMessage": "no", "errorType": "E"})
    expected = {"all": {"a": {"b": 1}, "why": {"Error": "E", "Cause": cause}}, "v": "E"}
    assert result_of(machine, {"a": {"b": 1}}, functions={"f": function}) == expected


async def _sleep(_event: Any) -> str:
    await asyncio.sleep(50)
    return "late"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"TimeoutSeconds": 49}, "States.Timeout"),
        ({"TimeoutSeconds": 51}, None),
        ({"TimeoutSecondsPath": "$.t"}, "States.Timeout"),
        ({"TimeoutSeconds": 60, "HeartbeatSeconds": 5}, "States.HeartbeatTimeout"),
        ({"HeartbeatSecondsPath": "$.t"}, "States.HeartbeatTimeout"),
        ({"TimeoutSecondsPath": "$.no"}, "States.Runtime"),
        ({"TimeoutSecondsPath": "$.text"}, "States.Runtime"),
    ],
)
def test_a_task_ends_in_its_time(limits: dict[str, Any], expected: str | None) -> None:
    """One that gives no heartbeat must end within the time for one."""
    found = result_of(one({**TASK, **limits}), {"t": 3, "text": "x"}, functions={"f": _sleep})
    assert (found == "late", None if found == "late" else found[1]) == (expected is None, expected)


def test_a_machine_ends_in_its_time_and_an_express_one_within_five_minutes() -> None:
    """TIMED_OUT with States.Timeout; nothing catches it."""

    async def story(world: World) -> None:
        wait = {"Type": "Wait", "Seconds": 99_999_999, "End": True}
        execution = await world.run({**one(wait), "TimeoutSeconds": 30})
        assert (execution.status, execution.error, world.loop.time()) == ("TIMED_OUT", "States.Timeout", 30)
        assert execution.history.events[-1].kind == "ExecutionTimedOut"
        arn = await world.create({**one(wait), "TimeoutSeconds": 3600}, type="EXPRESS")
        told = await world.ask("StartSyncExecution", stateMachineArn=arn)
        assert (told["status"], told["error"], world.loop.time()) == ("TIMED_OUT", "States.Timeout", 330)

    run_world(story)


@pytest.mark.parametrize(
    ("fields", "until"),
    [
        ({"Seconds": 10}, 10.0),
        ({"SecondsPath": "$.s"}, 7.0),
        ({"Timestamp": "2027-01-15T08:00:30Z"}, 30.0),
        ({"TimestampPath": "$.at"}, 60.0),
        ({"Timestamp": "2001-01-01T00:00:00Z"}, 0.0),
    ],
)
def test_a_wait_lasts_as_it_says(fields: dict[str, Any], until: float) -> None:
    """Seconds from now, or a date; one that is past is no wait."""

    async def story(world: World) -> None:
        execution = await world.run(one({"Type": "Wait", **fields}), {"s": 7, "at": "2027-01-15T09:01:00+01:00"})
        assert (execution.status, world.loop.time()) == ("SUCCEEDED", until)

    run_world(story)


def test_the_first_branch_that_fails_ends_the_others() -> None:
    """Its error is the Parallel's; what the others did is told as aborted."""

    async def story(world: World) -> None:
        _, world.functions["f"] = failing("E")
        branches = [
            {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": True}}},
            {"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 5, "Next": "C"}, "C": {**TASK, "End": True}}},
        ]
        execution = await world.run(one({"Type": "Parallel", "Branches": branches}))
        assert (execution.status, execution.error, world.loop.time()) == ("FAILED", "E", 5)
        kinds = [event.kind for event in execution.history.events]
        assert kinds[-4:] == ["LambdaFunctionFailed", "WaitStateAborted", "ParallelStateFailed", "ExecutionFailed"]

    run_world(story)


def test_iterations_run_as_many_at_a_time_as_may() -> None:
    """MaxConcurrency; 40 of an inline Map without one. Many inputs are made in turns, which take some milliseconds."""

    async def story(world: World) -> None:
        wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 10, "End": True}}}
        await world.run(one({"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": wait}), [1, 2, 3, 4, 5])
        assert world.loop.time() == 30
        await world.run(one({"Type": "Map", "MaxConcurrency": 100, "ItemProcessor": wait}), list(range(41)))
        assert round(world.loop.time(), 1) == 50
        await world.run(one({"Type": "Map", "MaxConcurrencyPath": "$.n", "ItemsPath": "$.l", "ItemProcessor": wait}),
                        {"n": 1, "l": [1, 2]})  # fmt: skip
        assert round(world.loop.time(), 1) == 70

    run_world(story)


def test_an_iteration_that_fails_ends_the_map() -> None:
    """And is retried with the whole Map."""
    called, function = failing("E", times=1)
    processor = {"StartAt": "T", "States": {"T": {**TASK, "End": True}}}
    machine = one({"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": processor, "Retry": [{"ErrorEquals": ["E"]}]})
    assert result_of(machine, [1, 2], functions={"f": function}) == ["done", "done"]
    assert called == [0, 1, 1]


def test_an_execution_has_at_most_25000_events() -> None:
    """The last one says that it failed, and why."""

    async def story(world: World) -> None:
        loop = one({"Type": "Pass", "Next": "T"}, T={"Type": "Pass", "Next": "S"})
        execution = await world.run(loop)
        assert (execution.status, execution.error) == ("FAILED", "States.Runtime")
        assert execution.cause == "The execution reached the maximum number of history events (25000)."
        assert (len(execution.history.events), execution.history.events[-1].kind) == (MAX_EVENTS, "ExecutionFailed")

    run_world(story)


def test_nothing_begins_behind_an_iteration_that_has_failed() -> None:
    """Those that wait for their turn have no events."""

    async def story(world: World) -> None:
        _, world.functions["f"] = failing("E")
        processor = {"StartAt": "T", "States": {"T": {**TASK, "End": True}}}
        execution = await world.run(one({"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": processor}), [1, 2, 3])
        kinds = [event.kind for event in execution.history.events if event.kind.startswith("MapIteration")]
        assert kinds == ["MapIterationStarted", "MapIterationFailed"]

    run_world(story)


def test_a_full_history_takes_only_its_last_event() -> None:
    """What is aborted then is not told, and is no failure of its own."""

    async def story(world: World) -> None:
        history = History(world.machines.world.clock, limit=3)
        assert [history.add("ExecutionStarted", 0), history.add("WaitStateEntered", 0)] == [1, 2]
        assert history.add("WaitStateAborted", 2) == 2
        with pytest.raises(HistoryFull):
            history.add("WaitStateExited", 2)
        assert history.add("ExecutionAborted", 2) == 3

    run_world(story)


def test_a_loop_of_an_express_machine_ends_with_its_time() -> None:
    """States that never wait let others run, and time pass."""

    async def story(world: World) -> None:
        loop = {**one({"Type": "Pass", "Next": "T"}, T={"Type": "Pass", "Next": "S"}), "TimeoutSeconds": 1}
        told = await world.ask("StartSyncExecution", stateMachineArn=await world.create(loop, type="EXPRESS"))
        assert (told["status"], told["stopDate"] - told["startDate"]) == ("TIMED_OUT", 1)

    run_world(story)


def test_a_function_that_is_not_there_is_lambdas_error() -> None:
    """The service's name, a dot, and the name of its exception."""
    status, error, cause = result_of(one(TASK))
    assert (status, error) == ("FAILED", "Lambda.ResourceNotFoundException")
    assert cause.startswith("Function not found: f (Service: Lambda; Status Code: 404;")
