"""State machines that run wild: how fast executions begin and go on, what they may hold, who is let in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.services.states import history, pacing
from localcloud.services.states.errors import StatesError
from localcloud.services.states.pacing import Admission, Pacer
from tests.unit.states_setup import ROLE, World, result_of, run_world

ENDLESS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}}
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
ONCE = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}


def each(inner: dict[str, Any], *, name: str = "I", **fields: Any) -> dict[str, Any]:
    """A machine of one Map over `$.l`, in which a state of this name stands."""
    processor = {"StartAt": name, "States": {name: {**inner, "End": True}}}
    state = {"Type": "Map", "ItemsPath": "$.l", "ItemProcessor": processor, "End": True, **fields}
    return {"StartAt": "M", "States": {"M": state}}


def count_admitted(region: str, kind: str, *, after_s: float) -> tuple[int, int]:
    """How many executions may begin at once, and how many more some time later."""
    admission = Admission()

    def admit_all(now_s: float) -> int:
        for number in range(10_000):
            try:
                admission.admit(region, kind, running=0, now_s=now_s)
            except StatesError:
                return number
        return -1

    return admit_all(0.0), admit_all(after_s)


@pytest.mark.parametrize(
    ("region", "kind", "expected"),
    [
        ("eu-west-1", "STANDARD", (1300, 300)),
        ("us-west-2", "STANDARD", (1300, 300)),
        ("eu-central-1", "STANDARD", (800, 150)),
        ("eu-central-1", "EXPRESS", (6000, 6000)),
    ],
)
def test_executions_begin_by_the_token_buckets_of_the_region(region: str, kind: str, expected: tuple[int, int]) -> None:
    """StartExecution has a bucket and a refill for each Region and type of machine."""
    assert count_admitted(region, kind, after_s=1.0) == expected


def test_a_million_executions_are_open_at_most() -> None:
    """One more is ExecutionLimitExceeded; Express executions do not count."""
    admission = Admission()
    admission.admit("eu-west-1", "STANDARD", running=999_999, now_s=0.0)
    admission.admit("eu-west-1", "EXPRESS", running=1_000_000, now_s=0.0)
    with pytest.raises(StatesError) as raised:
        admission.admit("eu-west-1", "STANDARD", running=1_000_000, now_s=0.0)
    assert raised.value.code == "ExecutionLimitExceeded"


def test_the_operation_answers_throttling_aloud() -> None:
    """The 1,301st StartExecution at one moment is refused with Rate exceeded, and one a moment later is not."""

    async def story(world: World) -> None:
        arn = await world.create(ONCE)
        answers = [await world.call("StartExecution", stateMachineArn=arn) for _ in range(1301)]
        assert {status for status, _ in answers[:1300]} == {200}
        assert answers[1300] == (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        await asyncio.sleep(1.0)
        assert (await world.call("StartExecution", stateMachineArn=arn))[0] == 200

    run_world(story)


def test_synchronous_executions_take_nothing_from_the_buckets() -> None:
    """StartSyncExecution is not held by StartExecution's bucket."""

    async def story(world: World) -> None:
        arn = await world.create(ONCE, type="EXPRESS")
        for _ in range(6000):
            world.machines.start(world.machines.resolve(arn), {})
        assert (await world.call("StartExecution", stateMachineArn=arn))[0] == 400
        assert (await world.call("StartSyncExecution", stateMachineArn=arn))[0] == 200

    run_world(story)


def test_standard_executions_go_on_by_the_bucket_of_state_transitions() -> None:
    """Behind 800 states at once, the states of all executions of most Regions come at 800 a second."""

    async def main() -> float:
        pacer = Pacer()
        for _ in range(2400):
            await pacer.take_turn("eu-central-1", "STANDARD")
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(2.0, abs=0.02)


def test_states_of_all_lines_together_leave_every_second_moment_to_others() -> None:
    """However many lines there are, some 3,200 states are entered in a second and a few in one turn of the loop."""

    async def main() -> tuple[int, int, float]:
        pacer, loop = Pacer(), asyncio.get_running_loop()
        entered, turn, most = 0, 0, 0

        def end_turn() -> None:
            nonlocal turn
            turn = 0

        async def line() -> None:
            nonlocal entered, turn, most
            for _ in range(4):
                await pacer.take_turn("eu-west-1", "EXPRESS")
                entered, turn = entered + 1, turn + 1
                most = max(most, turn)
                loop.call_soon(end_turn)

        async with asyncio.TaskGroup() as group:
            for _ in range(800):
                group.create_task(line())
        return entered, most, loop.time()

    entered, most, spent_s = run_virtual(main)
    assert entered == 3200
    assert 0 < most <= pacing.VISITS_A_TURN
    assert spent_s == pytest.approx(1.0, abs=0.05)


def test_large_data_costs_as_many_states_as_it_takes_time() -> None:
    """States with 256 KiB of data come slower than small ones, so that the loop is left to others as long."""

    async def main() -> float:
        pacer = Pacer()
        for _ in range(100):
            await pacer.take_turn("eu-west-1", "EXPRESS")
            pacer.spend(262_144)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(100 * 65 / 3200, abs=0.03)


def test_large_data_is_worked_on_one_state_at_a_time() -> None:
    """A turn of the loop is as long as one of them takes, and of small ones several have room in it."""

    async def main(chars: int) -> int:
        pacer, loop = Pacer(), asyncio.get_running_loop()
        turn, most = 0, 0

        def end_turn() -> None:
            nonlocal turn
            turn = 0

        async def line() -> None:
            nonlocal turn, most
            for number in range(10):
                await pacer.take_turn("eu-west-1", "EXPRESS")
                pacer.spend(chars)
                turn += 1
                most = max(most, turn) if number else most
                loop.call_soon(end_turn)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(line())
        return most

    assert (run_virtual(lambda: main(100)), run_virtual(lambda: main(100_000))) == (pacing.VISITS_A_TURN, 1)


def test_calls_of_services_cost_several_states() -> None:
    """States that call a service come at 640 a second."""

    async def main() -> float:
        pacer = Pacer()
        for _ in range(640):
            await pacer.take_turn("eu-west-1", "EXPRESS")
            pacer.spend(2, calls=1)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(1.0, abs=0.02)


def test_a_turn_that_nobody_waits_for_is_given_to_the_next() -> None:
    """An execution that is stopped while it waits for its turn takes no turn from the others."""

    async def main() -> int:
        pacer = Pacer()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(pacer.take_turn("eu-west-1", "EXPRESS")) for _ in range(8)]
            await asyncio.sleep(0)
            for each_task in waiting[:4]:
                each_task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return sum(each_task.done() and not each_task.cancelled() for each_task in waiting)

    assert run_virtual(main) == 4


def test_an_endless_machine_ends_with_its_history() -> None:
    """25,000 events end a Standard execution, which takes AWS's own transitions a second."""
    assert result_of(ENDLESS) == (
        "FAILED",
        "States.Runtime",
        "The execution reached the maximum number of history events (25000).",
    )


def test_maps_in_maps_make_only_the_lines_that_may_run() -> None:
    """20,000 items in each of 20,000 items are no four hundred million tasks: the history ends the execution."""
    inner = each({"Type": "Pass"})["States"]["M"]

    async def story(world: World) -> tuple[str, int]:
        execution = await world.start(
            await world.create(each(inner, name="N", ItemSelector={"l.$": "$.l"})), {"l": list(range(20_000))}
        )
        most = 0
        while not execution.ended.is_set():
            await asyncio.sleep(0.05)
            most = max(most, len(asyncio.all_tasks()))
        return str(execution.error), most

    error, most = run_world(story)
    assert error == "States.Runtime"
    assert most < 40 + 40 * 40 + 10


def test_what_iterations_give_together_has_a_bound_while_they_run() -> None:
    """A Map whose items each become the whole input fails long before its 20,000 iterations have all been kept."""
    definition = each({"Type": "Pass"}, ItemSelector={"x.$": "$"})
    _, error, cause = result_of(definition, {"l": list(range(20_000))})
    assert error == "States.DataLimitExceeded"
    assert "exceeds the maximum size of data" in cause


def test_a_history_holds_so_much_data_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of one execution's inputs and outputs has an end, which its cause names."""
    monkeypatch.setattr(history, "MAX_CHARS", 100_000)
    _, error, cause = result_of(ENDLESS, {"text": "x" * 1000})
    assert error == "States.Runtime"
    assert "more data than the local cloud keeps" in cause


def test_results_of_small_iterations_are_all_there() -> None:
    """A Map of more items than run at a time gives every result in the items' order."""
    assert result_of(each({"Type": "Pass"}), {"l": list(range(500))}) == list(range(500))


def test_the_first_failure_leaves_the_rest_of_the_items_alone() -> None:
    """No iteration begins behind one that failed."""
    definition = each({"Type": "Fail", "Error": "No"}, MaxConcurrency=1)
    del definition["States"]["M"]["ItemProcessor"]["States"]["I"]["End"]

    async def story(world: World) -> int:
        execution = await world.run(definition, {"l": [1, 2, 3]})
        assert execution.error == "No"
        return sum(event.kind == "MapIterationStarted" for event in execution.history.events)

    assert run_world(story) == 1


def test_numbers_that_json_cannot_say_begin_no_execution() -> None:
    """Nothing here ever writes `Infinity`."""

    async def story(world: World) -> Any:
        arn = await world.create(PASS)
        return await world.call("StartExecution", stateMachineArn=arn, input='{"a":1e999}')

    status, answer = run_world(story)
    assert (status, answer["__type"]) == (400, "InvalidExecutionInput")


def test_half_of_a_surrogate_pair_comes_out_as_it_went_in() -> None:
    """As the escape that it can only be written with."""

    async def story(world: World) -> str:
        execution = await world.start(await world.create(PASS), {"a": "\ud800"})
        await execution.ended.wait()
        answer = await world.ask("DescribeExecution", executionArn=execution.arn)
        return answer["output"]

    assert run_world(story) == '{"a":"\\ud800"}'


def test_a_state_of_any_shape_is_tested_or_refused() -> None:
    """TestState of a type that is a list, an object or nothing is a definition that is none."""

    async def story(world: World) -> set[str]:
        definitions = ('{"Type":["Pass"]}', '{"Type":{}}', '{"Type":null}', "{}", '{"Type":"Pass","Resource":[]}')
        answers = [await world.call("TestState", definition=text, roleArn=ROLE) for text in definitions]
        assert {status for status, _ in answers} == {400}
        return {answer["__type"] for _, answer in answers}

    assert run_world(story) <= {"InvalidDefinition", "ValidationException"}


def test_what_one_state_gives_the_next_is_written_once() -> None:
    """A history holds one text for both, and the work of one."""

    async def story(world: World) -> bool:
        states = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}
        execution = await world.run({"StartAt": "A", "States": states}, {"text": "x" * 100})
        told = {event.kind: event.details for event in execution.history.events if event.details.get("name") != "B"}
        entered = next(each for each in execution.history.events if each.kind == "SucceedStateEntered")
        return told["PassStateExited"]["output"] is entered.details["input"]

    assert run_world(story) is True
