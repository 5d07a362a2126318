"""A table of state machines: what each is given, and what the documentation says that it gives.

An expected value that is an `Error` is the name of the error that ends the execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.unit.states_setup import one


@dataclass(frozen=True)
class Error:
    """An execution that fails with an error of this name."""

    name: str


def passes(**fields: Any) -> dict[str, Any]:
    """A machine of one Pass."""
    return one({"Type": "Pass", **fields})


def calls(text: str) -> dict[str, Any]:
    """A machine that gives what an intrinsic function gives."""
    return passes(Parameters={"v.$": text}, OutputPath="$.v")


def chooses(rule: dict[str, Any]) -> dict[str, Any]:
    """A machine that says whether a rule holds."""
    return one(
        {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"},
        Yes={"Type": "Pass", "Result": True, "End": True},
        No={"Type": "Pass", "Result": False, "End": True},
    )


def compares(operator: str, wanted: Any, value: Any) -> tuple[dict[str, Any], Any]:
    """A machine and its input: `$.v` against a value."""
    return chooses({"Variable": "$.v", operator: wanted}), {"v": value}


ORDER: dict[str, Any] = {"id": 7, "lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": 5}], "tags": {"x-y": "z"}}
ITEMS = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}

DATA: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "a pass gives its input": (passes(), ORDER, ORDER),
    "input path": (passes(InputPath="$.tags"), ORDER, {"x-y": "z"}),
    "input path null": (passes(InputPath=None), ORDER, {}),
    "output path": (passes(OutputPath="$.lines[1].n"), ORDER, 5),
    "output path null": (passes(OutputPath=None), ORDER, {}),
    "result": (passes(Result=[1]), ORDER, [1]),
    "result path": (passes(Result=1, ResultPath="$.a.b"), {"a": {"c": 2}}, {"a": {"c": 2, "b": 1}}),
    "result path null": (passes(Result=1, ResultPath=None), ORDER, ORDER),
    "result path of an item": (passes(Result=1, ResultPath="$.a[1]"), {"a": [0, 0]}, {"a": [0, 1]}),
    "result path that does not fit": (
        passes(Result=1, ResultPath="$.a.b"), {"a": 3}, Error("States.ResultPathMatchFailure")),
    "parameters": (passes(Parameters={"a": 1, "b.$": "$.id", "c": {"d.$": "$.tags['x-y']"}}), ORDER,
                   {"a": 1, "b": 7, "c": {"d": "z"}}),
    "parameters that lead nowhere": (passes(Parameters={"a.$": "$.no"}), ORDER, Error("States.ParameterPathFailure")),
    "input path that leads nowhere": (passes(InputPath="$.no"), ORDER, Error("States.Runtime")),
    "star": (passes(InputPath="$.lines[*].sku"), ORDER, ["a", "b"]),
    "negative index": (passes(InputPath="$.lines[-1].sku"), ORDER, "b"),
    "slice": (passes(InputPath="$.a[1:3]"), {"a": [0, 1, 2, 3]}, [1, 2]),
    "several indexes": (passes(InputPath="$.a[0,2]"), {"a": [5, 6, 7]}, [5, 7]),
    "deep": (passes(InputPath="$..n"), ORDER, [2, 5]),
    "filter": (passes(InputPath="$.lines[?(@.n > 2)].sku"), ORDER, ["b"]),
    "filter with and, or, not": (
        passes(InputPath="$.lines[?((@.n == 2 || @.n == 5) && !(@.sku == 'a'))].sku"), ORDER, ["b"]),
    "filter by presence": (passes(InputPath="$.a[?(@.b)].c"), {"a": [{"b": 0, "c": 1}, {"c": 2}]}, [1]),
    "context": (passes(Parameters={"n.$": "$$.State.Name", "m.$": "$$.StateMachine.Name"}), {}, {"n": "S", "m": "m0"}),
    "context input": (passes(Parameters={"i.$": "$$.Execution.Input.id"}), ORDER, {"i": 7}),
    "variables": (
        one({"Type": "Pass", "Assign": {"v.$": "$.id", "w": 2}, "Next": "T"},
            T={"Type": "Pass", "Parameters": {"a.$": "$v", "b.$": "$w"}, "End": True}), ORDER, {"a": 7, "b": 2}),
    "variables keep their values until a state ends": (
        one({"Type": "Pass", "Assign": {"x": 1, "y": 2}, "Next": "T"},
            T={"Type": "Pass", "Assign": {"x.$": "$y", "y.$": "$x"}, "Next": "U"},
            U={"Type": "Pass", "Parameters": {"x.$": "$x", "y.$": "$y"}, "End": True}), {}, {"x": 2, "y": 1}),
    "a variable of an outer scope is read only": (
        one({"Type": "Pass", "Assign": {"x": 1}, "Next": "P"},
            P={"Type": "Parallel", "End": True, "Branches": [
                {"StartAt": "B", "States": {"B": {"Type": "Pass", "Assign": {"x": 2}, "End": True}}}]}),
        {}, Error("States.Runtime")),
    "succeed": (one({"Type": "Succeed", "InputPath": "$.id"}), ORDER, 7),
    "fail": (one({"Type": "Fail", "Error": "E", "Cause": "c"}), {}, Error("E")),
    "fail with paths": (one({"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('{}', $.e)"}),
                        {"e": "F"}, Error("F")),
    "parallel": (
        one({"Type": "Parallel", "ResultSelector": {"first.$": "$[0]"}, "ResultPath": "$.r", "Branches": [
            {"StartAt": "A", "States": {"A": {"Type": "Pass", "InputPath": "$.id", "End": True}}},
            {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": True}}}]}),
        {"id": 1}, {"id": 1, "r": {"first": 1}}),
    "map": (one({"Type": "Map", "ItemsPath": "$.lines", "ItemProcessor": ITEMS}), ORDER, ORDER["lines"]),
    "map with a selector": (
        one({"Type": "Map", "ItemsPath": "$.lines", "ItemSelector": {
            "i.$": "$$.Map.Item.Index", "s.$": "$$.Map.Item.Value.sku", "id.$": "$.id"}, "ItemProcessor": ITEMS}),
        ORDER, [{"i": 0, "s": "a", "id": 7}, {"i": 1, "s": "b", "id": 7}]),
    "map of no list": (
        one({"Type": "Map", "ItemsPath": "$.id", "ItemProcessor": ITEMS}), ORDER, Error("States.Runtime")),
    "no choice": (one({"Type": "Choice", "Choices": [{"Variable": "$.id", "NumericEquals": 1, "Next": "P"}]},
                      P={"Type": "Pass", "End": True}), ORDER, Error("States.NoChoiceMatched")),
    "no choice is caught by no state of its own": (
        one({"Type": "Parallel", "Catch": [{"ErrorEquals": ["States.NoChoiceMatched"], "Next": "C"}], "Next": "C",
             "Branches": [{"StartAt": "X", "States": {
                 "X": {"Type": "Choice", "Choices": [{"Variable": "$.id", "NumericEquals": 1, "Next": "P"}]},
                 "P": {"Type": "Pass", "End": True}}}]}, C={"Type": "Pass", "OutputPath": "$.Error", "End": True}),
        ORDER, "States.NoChoiceMatched"),
}  # fmt: skip

INTRINSICS: dict[str, tuple[str, Any, Any]] = {
    "format": ("States.Format('{} is {}, {}', $.a, 1.5, $.b)", {"a": "x", "b": [1]}, "x is 1.5, [1]"),
    "format escapes": (r"States.Format('\{\} \'{}\' \\', 'y')", {}, "{} 'y' \\"),
    "format with too few": ("States.Format('{} {}', 1)", {}, Error("States.IntrinsicFailure")),
    "string to json": ("States.StringToJson($.a)", {"a": '{"b": [1]}'}, {"b": [1]}),
    "string to json of none": ("States.StringToJson($.a)", {"a": "{"}, Error("States.IntrinsicFailure")),
    "json to string": ("States.JsonToString($.a)", {"a": {"b": [1, "é"]}}, '{"b":[1,"é"]}'),
    "array": ("States.Array($.a, 1, 'x', true, null)", {"a": {}}, [{}, 1, "x", True, None]),
    "partition": ("States.ArrayPartition($.a, 2)", {"a": [1, 2, 3]}, [[1, 2], [3]]),
    "partition by nothing": ("States.ArrayPartition($.a, 0)", {"a": [1]}, Error("States.IntrinsicFailure")),
    "contains": ("States.ArrayContains($.a, 2)", {"a": [1, 2]}, True),
    "contains no flag for one": ("States.ArrayContains($.a, 1)", {"a": [True]}, False),
    "range": ("States.ArrayRange(1, 9, 2)", {}, [1, 3, 5, 7, 9]),
    "range down": ("States.ArrayRange(3, 1, -1)", {}, [3, 2, 1]),
    "range of 1001": ("States.ArrayRange(0, 1000, 1)", {}, Error("States.IntrinsicFailure")),
    "range by zero": ("States.ArrayRange(0, 1, 0)", {}, Error("States.IntrinsicFailure")),
    "get item": ("States.ArrayGetItem($.a, 1)", {"a": [1, 2]}, 2),
    "get item outside": ("States.ArrayGetItem($.a, 2)", {"a": [1, 2]}, Error("States.IntrinsicFailure")),
    "length": ("States.ArrayLength($.a)", {"a": [1, 2]}, 2),
    "unique": ("States.ArrayUnique($.a)", {"a": [1, 2, 1, {"b": 1}, {"b": 1}]}, [1, 2, {"b": 1}]),
    "encode": ("States.Base64Encode('hé')", {}, "aMOp"),
    "decode": ("States.Base64Decode('aMOp')", {}, "hé"),
    "decode of none": ("States.Base64Decode('!')", {}, Error("States.IntrinsicFailure")),
    "hash": ("States.Hash('abc', 'SHA-1')", {}, "a9993e364706816aba3e25717850c26c9cd0d89d"),
    "hash by none": ("States.Hash('abc', 'SHA1')", {}, Error("States.IntrinsicFailure")),
    "merge": ("States.JsonMerge($.a, $.b, false)", {"a": {"x": 1, "y": 1}, "b": {"y": 2}}, {"x": 1, "y": 2}),
    "merge deeply": ("States.JsonMerge($.a, $.a, true)", {"a": {}}, Error("States.IntrinsicFailure")),
    "add": ("States.MathAdd($.a, -1)", {"a": 111}, 110),
    "add too much": ("States.MathAdd(2147483647, 1)", {}, Error("States.IntrinsicFailure")),
    "split": ("States.StringSplit('1,2;3', ',;')", {}, ["1", "2", "3"]),
    "nested": ("States.ArrayGetItem(States.StringSplit($.a, '/'), States.MathAdd(0, 1))", {"a": "x/y"}, "y"),
    "path of an argument that leads nowhere": ("States.ArrayLength($.no)", {}, Error("States.IntrinsicFailure")),
}

NOON = "2027-01-15T12:00:00Z"
CHOICES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    **{
        f"{operator} {wanted!r} of {value!r}": (*compares(operator, wanted, value), holds)
        for operator, wanted, value, holds in (
            ("StringEquals", "a", "a", True), ("StringEquals", "a", 1, False),
            ("StringLessThan", "b", "a", True), ("StringLessThanEquals", "a", "b", False),
            ("StringGreaterThan", "a", "b", True), ("StringGreaterThanEquals", "b", "b", True),
            ("StringMatches", "log-*.txt", "log-1.txt", True), ("StringMatches", "log-*.txt", "log-1.txtx", False),
            ("StringMatches", "a\\*", "a*", True), ("StringMatches", "a\\*", "ab", False),
            ("NumericEquals", 1, 1.0, True), ("NumericEquals", 1, True, False), ("NumericEquals", 1, "1", False),
            ("NumericLessThan", 2, "1", False), ("StringLessThan", "b", 1, False),
            ("NumericLessThan", 2, 1, True), ("NumericLessThanEquals", 2, 2, True),
            ("NumericGreaterThan", 2, 2, False), ("NumericGreaterThanEquals", 2, 2, True),
            ("BooleanEquals", True, True, True), ("BooleanEquals", True, 1, False),
            ("TimestampEquals", NOON, "2027-01-15T13:00:00+01:00", True),
            ("TimestampLessThan", NOON, "2027-01-15T11:59:59.9Z", True),
            ("TimestampLessThanEquals", NOON, NOON, True),
            ("TimestampGreaterThan", NOON, NOON, False), ("TimestampGreaterThanEquals", NOON, NOON, True),
            ("TimestampEquals", NOON, "noon", False),
            ("IsNull", True, None, True), ("IsNull", False, 0, True), ("IsPresent", True, None, True),
            ("IsNumeric", True, "1", False), ("IsString", True, "1", True), ("IsBoolean", True, False, True),
            ("IsTimestamp", True, NOON, True), ("IsTimestamp", True, "2027-01-15", False),
        )
    },
    "IsPresent of nothing": (chooses({"Variable": "$.no", "IsPresent": False}), {}, True),
    "a variable that leads nowhere": (chooses({"Variable": "$.no", "IsNull": True}), {}, Error("States.Runtime")),
    "with a path": (chooses({"Variable": "$.a", "NumericLessThanPath": "$.b"}), {"a": 1, "b": 2}, True),
    "and": (chooses({"And": [{"Variable": "$.a", "IsPresent": True}, {"Variable": "$.a", "NumericEquals": 1}]}),
            {"a": 1}, True),
    "and ends early": (
        chooses({"And": [{"Variable": "$.no", "IsPresent": True}, {"Variable": "$.no", "IsNull": True}]}), {}, False),
    "or": (chooses({"Or": [{"Variable": "$.a", "NumericEquals": 2}, {"Variable": "$.a", "NumericEquals": 1}]}),
           {"a": 1}, True),
    "not": (chooses({"Not": {"Variable": "$.a", "NumericEquals": 1}}), {"a": 1}, False),
}  # fmt: skip

TABLE: dict[str, tuple[dict[str, Any], Any, Any]] = {
    **DATA,
    **CHOICES,
    **{name: (calls(text), value, expected) for name, (text, value, expected) in INTRINSICS.items()},
}
