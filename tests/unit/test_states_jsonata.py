"""State machines in JSONata: data flow, variables, every field that takes an expression, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.states_setup import FUNCTION, INVOKE, REGION, ROLE, FunctionFailed, World, one, result_of, run_world
from tests.unit.test_states_maps import GET, PUT, Bucket, outcome

ORDER: dict[str, Any] = {"id": "o-7", "lines": [{"sku": "a", "n": 2, "price": 1.5}, {"sku": "b", "n": 5, "price": 2}]}
RESULT = "$states.result"
ITEMS = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}


def query(state: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A machine in JSONata that begins with the state `S`."""
    return {"QueryLanguage": "JSONata", **one(state, **others)}


def output(text: Any, **fields: Any) -> dict[str, Any]:
    """A machine of one Pass with an output."""
    return query({"Type": "Pass", "Output": text, **fields})


DOUBLE = {"Type": "Task", "Resource": f"{FUNCTION}double"}
MACHINES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "a pass gives its input": (query({"Type": "Pass"}), ORDER, ORDER),
    "an expression": (output("{% $sum($states.input.lines.(n * price)) %}"), ORDER, 13),
    "blanks inside of it": (output("{%$states.input.id%}"), ORDER, "o-7"),
    "text that is none": (output({"a": "{% 1 %} ", "b": "$states.input", "c": 5}), ORDER,
                          {"a": "{% 1 %} ", "b": "$states.input", "c": 5}),
    "at any depth": (output({"a": [{"b": "{% $states.input.id %}"}, "{% 1+1 %}"], "k.$": "$.id"}), ORDER,
                     {"a": [{"b": "o-7"}, 2], "k.$": "$.id"}),
    "null is a value": (output({"a": "{% $states.input.n %}"}), {"n": None}, {"a": None}),
    "the context": (output("{% $states.context.State.Name & $states.context.Execution.Input.id %}"), ORDER, "So-7"),
    "succeed": (query({"Type": "Succeed", "Output": "{% $states.input.id %}"}), ORDER, "o-7"),
    "assign and output see the old variables": (
        query({"Type": "Pass", "Assign": {"x": "{% 1 %}"}, "Next": "T"},
              T={"Type": "Pass", "Assign": {"x": "{% $x + 1 %}", "y": "{% $x %}"}, "Output": "{% $x %}", "Next": "U"},
              U={"Type": "Pass", "Output": "{% [$states.input, $x, $y] %}", "End": True}), {}, [1, 2, 1]),
    "a variable of a name like a function's": (
        query({"Type": "Pass", "Assign": {"sum": 9}, "Next": "T"},
              T={"Type": "Pass", "Output": "{% $sum %}", "End": True}), {}, 9),
    "a task": (query({**DOUBLE, "Arguments": {"v": "{% $states.input.v + 1 %}"},
                      "Output": "{% $states.result.v %}"}), {"v": 1}, 4),
    "a task gives its result": (query({**DOUBLE, "Assign": {"r": "{% $states.result %}"}}), {"v": 1}, {"v": 2}),
    "a task is given the input": (query(DOUBLE), {"v": 4}, {"v": 8}),
    "an integration": (
        query({"Type": "Task", "Resource": INVOKE,
               "Arguments": {"FunctionName": "{% 'double' %}", "Payload": {"v": "{% 3 %}"}},
               "Output": "{% $states.result.Payload.v %}"}), {}, 6),
    "choice": (
        query({"Type": "Choice", "Default": "N", "Choices": [
            {"Condition": "{% $states.input.v > 5 %}", "Next": "N"},
            {"Condition": "{% $states.input.v > 1 %}", "Next": "Y", "Assign": {"w": "{% 'was' %}"},
             "Output": {"from": "{% $states.input.v %}"}}]},
              Y={"Type": "Pass", "Output": "{% [$states.input.from, $w] %}", "End": True},
              N={"Type": "Pass", "End": True}), {"v": 3}, [3, "was"]),
    "choice without a match": (
        query({"Type": "Choice", "Default": "N", "Output": "{% 'none' %}", "Assign": {"d": True}, "Choices": [
            {"Condition": "{% false %}", "Next": "N"}]},
              N={"Type": "Pass", "Output": "{% [$states.input, $d] %}", "End": True}), {}, ["none", True]),
    "a literal condition": (
        query({"Type": "Choice", "Choices": [{"Condition": True, "Next": "Y"}]}, Y={"Type": "Succeed"}), 1, 1),
    "map": (
        query({"Type": "Map", "Items": "{% $states.input.lines %}", "MaxConcurrency": "{% 1 %}",
               "ItemSelector": {"i": "{% $states.context.Map.Item.Index %}",
                                "sku": "{% $states.context.Map.Item.Value.sku %}", "of": "{% $states.input.id %}"},
               "ItemProcessor": ITEMS, "Output": "{% $states.result %}"}), ORDER,
        [{"i": 0, "sku": "a", "of": "o-7"}, {"i": 1, "sku": "b", "of": "o-7"}]),
    "map over its input": (query({"Type": "Map", "ItemProcessor": ITEMS}), [1, 2], [1, 2]),
    "map over a literal list": (
        query({"Type": "Map", "Items": [1, "{% 1 + 1 %}"], "ItemProcessor": ITEMS}), {}, [1, 2]),
    "variables inside of a map are each iteration's": (
        query({"Type": "Pass", "Assign": {"outer": 10}, "Next": "M"},
              M={"Type": "Map", "Items": [1, 2], "End": True, "ItemProcessor": {"StartAt": "A", "States": {
                  "A": {"Type": "Pass", "Assign": {"mine": "{% $states.input * $outer %}"}, "Next": "B"},
                  "B": {"Type": "Pass", "Output": "{% $mine %}", "End": True}}}}), {}, [10, 20]),
    "parallel": (
        query({"Type": "Parallel", "Arguments": {"a": "{% $states.input.v %}"}, "Branches": [ITEMS, {
            "StartAt": "J", "States": {"J": {"Type": "Pass", "Output": "{% $states.input.a * 2 %}", "End": True}}}],
               "Output": "{% $states.result[1] %}"}), {"v": 3}, 6),
    "one state in a machine in JSONPath": (
        one({"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"q": "{% 5 %}"}, "Output": {"a": "{% 1 + 1 %}"},
             "Next": "P"}, P={"Type": "Pass", "Parameters": {"a.$": "$.a", "q.$": "$q"}, "End": True}),
        {}, {"a": 2, "q": 5}),
    "states inside are in the language of the machine": (
        one({"Type": "Map", "QueryLanguage": "JSONata", "Items": [1], "ItemProcessor": {"StartAt": "I", "States": {
            "I": {"Type": "Pass", "Parameters": {"v.$": "$"}, "End": True}}}}), {}, [{"v": 1}]),
}  # fmt: skip


def double(event: Any) -> Any:
    """A function."""
    return {"v": event["v"] * 2}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_in_jsonata_gives_what_the_documentation_says(name: str) -> None:
    """Each row: a machine, its input, its output."""
    machine, value, expected = MACHINES[name]
    assert result_of(machine, value, functions={"double": double}) == expected


def told(text: str, field: str, what: str) -> str:
    """The cause of an expression's failure."""
    located = "An error occurred while executing the state 'S' (entered at the event id #2). "
    return f"{located}The JSONata expression '{text}' specified for the field '{field}' {what}"


STANDARD = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
SPREAD: dict[str, Any] = {"Type": "Map", "Items": [1], "ItemProcessor": {**ITEMS, "ProcessorConfig": STANDARD}}
NOTHING = "returned nothing (undefined)."
WAIT = {"Type": "Wait"}


@pytest.mark.parametrize(
    ("machine", "text", "field", "what"),
    [
        (output({"a": ["{% $states.input.no %}"]}), "$states.input.no", "Output/a[0]", NOTHING),
        (output(1, Assign={"x": "{% $no %}"}), "$no", "Assign/x", NOTHING),
        (output("{% 'a' + 1 %}"), "'a' + 1", "Output",
         'threw an error during evaluation. T2001: The left side of the "+" operator must evaluate to a number'),
        (output("{% $error('mine') %}"), "$error('mine')", "Output", "threw an error during evaluation. D3137: mine"),
        (output("{% $sum %}"), "$sum", "Output", "returned an unsupported result type."),
        (query({**DOUBLE, "TimeoutSeconds": "{% 'x' %}"}), "'x'", "TimeoutSeconds",
         "returned an unexpected result type. Expected 'number', but was 'string' for value: \"x\""),
        (query({**WAIT, "Seconds": "{% -1 %}"}), "-1", "Seconds",
         "returned a value that is not between 0 and 99999999: -1"),
        (query({**WAIT, "Timestamp": "{% 'soon' %}"}), "'soon'", "Timestamp",
         'returned no timestamp of ISO 8601: "soon"'),
        (query({"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "T"}]}, T={"Type": "Succeed"}),
         "1", "Choices[0]/Condition",
         "returned an unexpected result type. Expected 'boolean', but was 'number' for value: 1"),
        (query({"Type": "Fail", "Error": "{% 1 %}"}), "1", "Error",
         "returned an unexpected result type. Expected 'string', but was 'number' for value: 1"),
        (query({"Type": "Map", "Items": "{% 'x' %}", "ItemProcessor": ITEMS}), "'x'", "Items",
         "returned an unexpected result type. Expected 'array', but was 'string' for value: \"x\""),
        (query(SPREAD | {"ToleratedFailurePercentage": "{% 101 %}"}), "101", "ToleratedFailurePercentage",
         "returned a value that is not between 0 and 100: 101"),
        (query(SPREAD | {"ItemBatcher": {"MaxItemsPerBatch": "{% 'x' %}"}}), "'x'", "ItemBatcher/MaxItemsPerBatch",
         "returned an unexpected result type. Expected 'number', but was 'string' for value: \"x\""),
        (query({"Type": "Map", "Items": [1], "ItemSelector": {"a": "{% $no %}"}, "ItemProcessor": ITEMS}),
         "$no", "ItemSelector/a", NOTHING),
    ],
)  # fmt: skip
def test_an_expression_that_fails_says_where_and_why(machine: dict[str, Any], text: str, field: str, what: str) -> None:
    """States.QueryEvaluationError, with the field and the reason; the history tells it with its place."""

    async def story(world: World) -> None:
        world.functions["double"] = double
        execution = await world.run(machine, {"v": 1})
        assert (execution.status, execution.error) == ("FAILED", "States.QueryEvaluationError")
        assert execution.cause == told(text, field, what)
        events = await world.ask("GetExecutionHistory", executionArn=execution.arn)
        failed = next(each for each in events["events"] if each["type"] == "EvaluationFailed")
        assert failed["evaluationFailedEventDetails"] == {
            "error": execution.error, "cause": execution.cause, "location": field, "state": "S"
        }  # fmt: skip

    run_world(story)


def test_errors_are_retried_and_caught() -> None:
    """A catcher sees the error in `$states.errorOutput`, the input and variables; else its output is the error."""
    calls: list[Any] = []

    def fail(event: Any) -> None:
        calls.append(event)
        raise FunctionFailed("Broken", "no")

    caught = {
        "ErrorEquals": ["Broken"],
        "Next": "T",
        "Assign": {"e": "{% $states.errorOutput.Error %}"},
        "Output": {"in": "{% $states.input.v %}", "c": "{% $parse($states.errorOutput.Cause).errorMessage %}"},
    }
    state = {**DOUBLE, "Retry": [{"ErrorEquals": ["Broken"], "MaxAttempts": 1}], "Catch": [caught]}
    machine = query(state, T={"Type": "Pass", "Output": "{% [$e, $states.input] %}", "End": True})
    found = result_of(machine, {"v": 1}, functions={"double": fail})
    assert found == ["Broken", {"in": 1, "c": "no"}]
    assert calls == [{"v": 1}, {"v": 1}]
    plain = query({**DOUBLE, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "T"}]}, T={"Type": "Succeed"})
    assert result_of(plain, {"v": 1}, functions={"double": fail})["Error"] == "Broken"
    wrong = {"ErrorEquals": ["States.QueryEvaluationError"], "Next": "T", "Output": "{% $states.errorOutput.Error %}"}
    machine = query({**DOUBLE, "Arguments": "{% $no %}", "Catch": [wrong]}, T={"Type": "Succeed"})
    assert result_of(machine) == "States.QueryEvaluationError"


def test_a_catchers_own_expression_can_fail() -> None:
    """Its place is the catcher's."""
    caught = {"ErrorEquals": ["States.ALL"], "Next": "T", "Output": {"x": "{% $states.errorOutput.no %}"}}
    machine = query({**DOUBLE, "Catch": [caught]}, T={"Type": "Succeed"})
    _, error, cause = result_of(machine)
    assert error == "States.QueryEvaluationError"
    assert "specified for the field 'Catch[0]/Output/x' returned nothing" in cause


def test_waits_and_fails_take_expressions() -> None:
    """Seconds, a timestamp, and the names of errors."""

    async def story(world: World) -> None:
        begun_s = world.loop.time()
        execution = await world.run(query({"Type": "Wait", "Seconds": "{% $states.input.s * 2 %}"}), {"s": 30})
        assert (execution.status, world.loop.time() - begun_s) == ("SUCCEEDED", 60)
        begun_s = world.loop.time()
        later = "{% $fromMillis($toMillis($states.context.Execution.StartTime) + 5000) %}"
        await world.run(query({"Type": "Wait", "Timestamp": later}))
        assert round(world.loop.time() - begun_s, 3) == 5
        execution = await world.run(query({"Type": "Fail", "Error": "{% 'E' & 1 %}", "Cause": "{% 'c' %}"}))
        assert (execution.error, execution.cause) == ("E1", "c")

    run_world(story)


def test_a_tasks_token_is_in_its_context() -> None:
    """Arguments of a task that waits see it."""

    async def story(world: World) -> None:
        tokens: list[str] = []
        world.functions["ask"] = lambda event: tokens.append(event["token"])
        state = {
            "Type": "Task",
            "Resource": f"{INVOKE}.waitForTaskToken",
            "HeartbeatSeconds": "{% 600 %}",
            "Arguments": {"FunctionName": "ask", "Payload": {"token": "{% $states.context.Task.Token %}"}},
        }
        execution = await world.start(await world.create(query(state)))
        while not tokens:
            await world.ask("ListStateMachines")
            await asyncio.sleep(0.01)
        await world.ask("SendTaskSuccess", taskToken=tokens[0], output='{"ok": true}')
        await execution.ended.wait()
        assert execution.output == '{"ok":true}'

    run_world(story)


def test_a_distributed_map_in_jsonata() -> None:
    """Items from an object, batches, and tolerances that are expressions."""
    processor = {**ITEMS, "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    state = {
        "Type": "Map",
        "Items": "{% $states.input.prices %}",
        "ItemSelector": {"k": "{% $states.context.Map.Item.Value.Key %}"},
        "ItemBatcher": {"MaxItemsPerBatch": "{% 1 + 1 %}", "BatchInput": {"of": "{% $states.input.id %}"}},
        "ToleratedFailurePercentage": "{% 50 %}",
        "ItemProcessor": processor,
        "Output": "{% $states.result.Items.k %}",
    }
    found = result_of(query(state), {"id": 7, "prices": {"a": 1, "b": 2, "c": 3}})
    assert found == ["a", "b", "c"]


END = {"Type": "Succeed"}


def test_items_and_results_of_a_distributed_map_are_where_expressions_say() -> None:
    """Arguments of the reader and the writer, and how many items there are at most."""
    bucket = Bucket(x="[1, 2, 3]")
    read = {
        "Resource": GET,
        "Arguments": {"Bucket": "{% $states.input.of %}", "Key": "{% 'x' %}"},
        "ReaderConfig": {"InputType": "JSON", "MaxItems": "{% $states.input.most %}"},
    }
    write = {"Resource": PUT, "Arguments": {"Bucket": "{% $states.input.of %}", "Prefix": "{% 'out' %}"}}
    state = {**SPREAD, "ItemReader": read, "ResultWriter": write, "Output": "{% $states.result.ResultWriterDetails %}"}
    del state["Items"]
    found = outcome(query(state), {"of": "b", "most": 2}, bucket)
    assert found["Bucket"] == "b"
    (told,) = bucket.read(found["Key"])["ResultFiles"]["SUCCEEDED"]
    assert [each["Input"] for each in bucket.read(told["Key"])] == ["1", "2"]
    assert told["Key"].startswith("out/")


UNSUPPORTED = "UNSUPPORTED_JSONATA_EXPRESSION"
ONLY_PATH = "is only supported for the 'JSONPath' QueryLanguage at /States/S"
ONLY_QUERY = "is only supported for the 'JSONata' QueryLanguage at /States/S"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (output("{% phone %}"), f"{UNSUPPORTED}: Reference to 'phone' at the top level is not supported. at /States"),
        (output({"v": ["{% $map($states.input.a, function($x){ b }) %}"]}),
         f"{UNSUPPORTED}: Reference to 'b' at the top level is not supported. at /States/S/Output/v[0]"),
        (output("{% $$.a %}"), f"{UNSUPPORTED}: Reference to '$$' is not supported. at /States/S/Output"),
        (output("{% $ %}"), f"{UNSUPPORTED}: Reference to '$' at the top level is not supported."),
        (output("{% $states.result %}"), f"{UNSUPPORTED}: Field '$states.result' does not exist. at /States/S/Output"),
        (output("{% $states.errorOutput %}"), "Field '$states.errorOutput' does not exist."),
        (query({**DOUBLE, "Arguments": "{% $states.result %}"}), "Field '$states.result' does not exist. at /St"),
        (output("{% $states.foo %}"), "Field '$states.foo' does not exist."),
        (output("{% a[1,2) %}"), "INVALID_JSONATA_EXPRESSION: "),
        (output("{% $x ?: 1 %}"), "INVALID_JSONATA_EXPRESSION: "),
        (output(1, Assign={"states": 1}), "'states' is not a valid name of a variable at /States/S/Assign"),
        (output(1, Assign={"a-b": 1}), "'a-b' is not a valid name of a variable"),
        (query({"Type": "Pass", "InputPath": "$"}), f"field 'InputPath' {ONLY_PATH}"),
        (query({"Type": "Pass", "Parameters": {}}), f"field 'Parameters' {ONLY_PATH}"),
        (query({"Type": "Pass", "Result": 1}), f"field 'Result' {ONLY_PATH}"),
        (query({"Type": "Wait", "SecondsPath": "$.a"}), f"field 'SecondsPath' {ONLY_PATH}"),
        (query({**DOUBLE, "ResultPath": "$.a"}), f"field 'ResultPath' {ONLY_PATH}"),
        (query({"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "T"}]}, T=END),
         "field 'Variable' is only supported for the 'JSONPath' QueryLanguage at /States/S/Choices[0]"),
        (query({"Type": "Choice", "Choices": [{"Next": "T"}]}, T={"Type": "Succeed"}),
         "The field 'Condition' is required and is a boolean or a JSONata expression at /States/S/Choices[0]/Con"),
        (query({**DOUBLE, "Catch": [{"ErrorEquals": ["E"], "Next": "T", "ResultPath": "$"}]}, T={"Type": "Succeed"}),
         "Field is not supported at /States/S/Catch[0]/ResultPath"),
        (query({"Type": "Map", "Items": 5, "ItemProcessor": ITEMS}),
         "Value is not an array, an object or a JSONata expression at /States/S/Items"),
        (query({"Type": "Map", "Iterator": ITEMS}), f"field 'Iterator' {ONLY_PATH}"),
        (query({"Type": "Wait", "Seconds": 1.5}), "Value is not an integer at /States/S/Seconds"),
        (query({"Type": "Wait"}), "Exactly one of 'Seconds' or 'Timestamp' is required at /States/S"),
        (query({"Type": "Pass", "QueryLanguage": "JSONPath", "Output": 1}),
         "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/S'"),
        (output(["{% '" + "x" * 33_000 + "' %}"] * 2), "NOT_SERVED: More than 65536 characters of JSONata in one"),
        (query({"Type": "Map", "ItemProcessor": {**ITEMS, "ProcessorConfig": {"Mode": {}}}}),
         "Value is not INLINE or DISTRIBUTED at /States/S/ItemProcessor/ProcessorConfig/Mode"),
        (query(SPREAD | {"ItemReader": {"Resource": []}}), "s3:listObjectsV2 at /States/S/ItemReader/Resource"),
        (query({**DOUBLE, "Retry": [{"ErrorEquals": ["E"], "JitterStrategy": []}]}), "Value is not FULL or NONE"),
        (query({"Type": "Pass", "Next": {}}), "Value is not a string at /States/S/Next"),
        (one({"Type": "Pass", "Output": 1}), f"field 'Output' {ONLY_QUERY}"),
        (one({**DOUBLE, "Arguments": 1}), f"field 'Arguments' {ONLY_QUERY}"),
        (query({"Type": "Map", "ItemProcessor": {**ITEMS, "QueryLanguage": "JSONata"}}),
         "Field is not supported at /States/S/ItemProcessor/QueryLanguage"),
    ],
)  # fmt: skip
def test_what_is_no_machine_in_jsonata_is_refused_by_place(machine: dict[str, Any], expected: str) -> None:
    """By creation, with the codes that the validation of definitions has."""

    async def story(world: World) -> None:
        text = json.dumps(machine)
        status, answer = await world.call("CreateStateMachine", name="m", definition=text, roleArn=ROLE)
        assert (status, answer["__type"]) == (400, "InvalidDefinition")
        assert expected in answer["message"], answer["message"]
        found = await world.ask("ValidateStateMachineDefinition", definition=text)
        assert found["result"] == "FAIL"
        assert found["diagnostics"][0]["message"] in answer["message"]

    run_world(story)


def test_executions_run_the_same_with_the_same_seed() -> None:
    """What chance decides in an expression is the world's, as time is."""
    machine = output("{% [$uuid(), $random(), $millis()] %}")
    assert result_of(machine, seed=5) == result_of(machine, seed=5)
    assert result_of(machine, seed=5) != result_of(machine, seed=6)
    assert result_of(machine, seed=5)[2] == 1_800_000_000_000


def test_what_a_machine_says_of_itself() -> None:
    """Its definition, and the variables that a state set, in the history."""

    async def story(world: World) -> None:
        execution = await world.run(output("{% 1 %}", Assign={"x": {"y": "{% [1, 2] %}"}}))
        events = (await world.ask("GetExecutionHistory", executionArn=execution.arn))["events"]
        exited = next(each for each in events if each["type"] == "PassStateExited")
        details = exited["stateExitedEventDetails"]
        assert details["assignedVariables"] == {"x": '{"y":[1,2]}'}
        assert details["assignedVariablesDetails"] == {"truncated": False}
        assert execution.revision.arn.split(":")[3] == REGION

    run_world(story)


def test_a_machine_says_which_states_look_at_which_variables() -> None:
    """Those that some state sets, in both languages and inside of others; functions and what is not set are none."""

    async def story(world: World) -> None:
        inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Output": "{% $sum([$a]) + $b %}", "End": True}}}
        machine = query(
            {"Type": "Pass", "Assign": {"a": 1}, "Next": "M"},
            M={"Type": "Map", "Items": "{% [$a, $none] %}", "ItemProcessor": inner, "Assign": {"b": 1}, "End": True},
        )
        found = await world.ask("DescribeStateMachine", stateMachineArn=await world.create(machine))
        assert found["variableReferences"] == {"M": ["a"], "I": ["a", "b"]}
        paths = one(
            {"Type": "Pass", "Assign": {"x.$": "$.v"}, "Next": "T"},
            T={"Type": "Pass", "Parameters": {"y.$": "States.Format('{}', $x)", "z": "no $x"}, "End": True},
        )
        found = await world.ask("DescribeStateMachine", stateMachineArn=await world.create(paths))
        assert found["variableReferences"] == {"T": ["x"]}

    run_world(story)
