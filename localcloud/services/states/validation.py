"""What is wrong with a definition: each diagnostic says in which state and field. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.states.fields import FIELDS, REQUIRED
from localcloud.services.states.map_fields import check_map
from localcloud.services.states.queries import expressions_in
from localcloud.services.states.query_fields import (
    QUERY_FIELDS,
    check_query_catch,
    check_query_choices,
    check_query_fields,
)
from localcloud.services.states.rules import Problem, check_catch, check_choices, check_retry
from localcloud.services.states.task_resource import ACTIVITY, BadResource, parse_resource

__all__ = ["Diagnostic", "check_definition", "describe", "is_jsonata"]

SCHEMA: Final = "SCHEMA_VALIDATION_FAILED"
TARGET: Final = "MISSING_TRANSITION_TARGET"
NOT_SERVED: Final = "NOT_SERVED"
MAX_NAME_CHARS: Final = 80
MAX_QUERY_CHARS: Final = 65_536  # of all expressions together, ours: parsing takes some 20 us a character
MAX_DEPTH: Final = 50  # of Parallel and Map inside each other, ours
_TOP: Final = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"})
_INNER: Final = frozenset({"Comment", "ProcessorConfig", "StartAt", "States"})
_ENDS: Final = frozenset({"Choice", "Fail", "Succeed"})
_PAIRS: Final = (
    ("Cause", "CausePath"),
    ("Error", "ErrorPath"),
    ("HeartbeatSeconds", "HeartbeatSecondsPath"),
    ("MaxConcurrency", "MaxConcurrencyPath"),
    ("Parameters", "ItemSelector"),
    ("TimeoutSeconds", "TimeoutSecondsPath"),
    ("ToleratedFailureCount", "ToleratedFailureCountPath"),
    ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong, always an ERROR."""

    code: str
    message: str
    location: str


def describe(found: list[Diagnostic]) -> str:
    """Diagnostics as InvalidDefinition tells them."""
    return ", ".join(f"{each.code}: {each.message}{' at ' if each.location else ''}{each.location}" for each in found)


def check_definition(text: str, kind: str) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The definition in `text`, and what is wrong with it for a machine of a type (`STANDARD`, `EXPRESS`)."""
    try:
        value = parse_json(text)
    except MalformedJson as error:
        return {}, [Diagnostic("INVALID_JSON_DESCRIPTION", str(error), "")]
    if not isinstance(value, dict):
        return {}, [Diagnostic("INVALID_JSON_DESCRIPTION", "The definition is not a JSON object", "")]
    machine = cast("dict[str, Any]", value)
    if "JSONata" in text and sum(len(each) for _, each in expressions_in(machine)) > MAX_QUERY_CHARS:
        message = (
            f"More than {MAX_QUERY_CHARS} characters of JSONata in one definition are not served by this local cloud"
        )
        return machine, [Diagnostic(NOT_SERVED, message, "")]
    return machine, list(_Checker(kind).check(machine))


class _Checker:
    """One pass over a definition; knows the names of all its states."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._names: set[str] = set()
        self._jsonata = False

    def check(self, machine: Mapping[str, Any]) -> Iterator[Diagnostic]:
        yield from _check_language(machine, "")
        self._jsonata = is_jsonata(machine, outer=False)
        yield from self._machine(machine, "", _TOP, depth=0)
        timeout = machine.get("TimeoutSeconds", 1)
        if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 < timeout <= 99_999_999:
            yield Diagnostic(SCHEMA, "Value is not a positive integer", "/TimeoutSeconds")
        if machine.get("Version", "1.0") != "1.0":
            yield Diagnostic(SCHEMA, 'Value is not "1.0"', "/Version")

    def _machine(
        self, machine: Mapping[str, Any], at: str, known: frozenset[str], *, depth: int
    ) -> Iterator[Diagnostic]:
        yield from _unknown(machine, at, known)
        states, start = machine.get("States"), machine.get("StartAt")
        if not isinstance(states, dict) or not states:
            yield Diagnostic(SCHEMA, "The field 'States' is required and holds at least one state", f"{at}/States")
            return
        if depth > MAX_DEPTH:
            yield Diagnostic(NOT_SERVED, f"States nested deeper than {MAX_DEPTH} are not served", at)
            return
        by_name = cast("dict[str, Any]", states)
        found: list[Diagnostic] = list(_check_start(start, by_name, at))
        for name, state in by_name.items():
            found += self._state(name, state, f"{at}/States/{name}", others=by_name, depth=depth)
        yield from found
        if not found:
            reached = _reachable(str(start), by_name)
            for name in (each for each in by_name if each not in reached):
                yield Diagnostic(TARGET, f'State "{name}" is not reachable.', f"{at}/States/{name}")

    def _state(self, name: str, state: Any, at: str, *, others: Mapping[str, Any], depth: int) -> Iterator[Diagnostic]:
        if not 0 < len(name) <= MAX_NAME_CHARS:
            yield Diagnostic(SCHEMA, f"The name of a state has 1 to {MAX_NAME_CHARS} characters", at)
        if name in self._names:
            yield Diagnostic("DUPLICATE_STATE_NAME", f"Duplicate State name: {name}", at)
        self._names.add(name)
        fields = cast("dict[str, Any]", state) if isinstance(state, dict) else {}
        kind = fields.get("Type")
        if not isinstance(kind, str) or kind not in FIELDS:
            yield Diagnostic(
                SCHEMA, f"The field 'Type' should have one of these values: {sorted(FIELDS)}", f"{at}/Type"
            )
            return
        yield from _check_language(fields, at)
        yield from self._fields(kind, fields, at, others=others)
        yield from _check_flow(kind, fields, at, others=others)
        yield from (_place(problem, at) for problem in check_retry(fields))
        yield from self._inside(kind, fields, at, depth=depth)

    def _fields(
        self, kind: str, fields: Mapping[str, Any], at: str, *, others: Mapping[str, Any]
    ) -> Iterator[Diagnostic]:
        """The fields that the state's query language has a say in."""
        if self._jsonata and fields.get("QueryLanguage") == "JSONPath":
            message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
            yield Diagnostic(SCHEMA, message, at)
        elif not is_jsonata(fields, outer=self._jsonata):
            yield from _check_fields(kind, fields, at)
            found = (*check_catch(fields, others), *(check_choices(fields, others) if kind == "Choice" else ()))
            yield from (_place(problem, at) for problem in found)
        else:
            found = [*check_query_fields(kind, fields), *check_query_catch(fields, others)]
            found += check_query_choices(fields, others) if kind == "Choice" else ()
            yield from (_place(problem, at) for problem in found)
            yield from _check_default(fields, at, others)

    def _inside(self, kind: str, fields: Mapping[str, Any], at: str, *, depth: int) -> Iterator[Diagnostic]:
        if kind == "Task":
            yield from self._task(fields, at)
        elif kind == "Parallel" and isinstance(fields.get("Branches"), list):
            for number, branch in enumerate(cast("list[Any]", fields["Branches"])):
                yield from self._nested(branch, f"{at}/Branches[{number}]", depth=depth)
        elif kind == "Map":
            jsonata = is_jsonata(fields, outer=self._jsonata)
            yield from (_place(problem, at) for problem in check_map(fields, self._kind, jsonata=jsonata))
            field = "Iterator" if "Iterator" in fields else "ItemProcessor"
            if field in fields:
                yield from self._nested(fields[field], f"{at}/{field}", depth=depth)

    def _nested(self, machine: Any, at: str, *, depth: int) -> Iterator[Diagnostic]:
        if not isinstance(machine, dict):
            yield Diagnostic(SCHEMA, "Value is not an object", at)
            return
        known = _INNER if "/Branches[" not in at[at.rfind("/") :] else _INNER - {"ProcessorConfig"}
        yield from self._machine(cast("dict[str, Any]", machine), at, known, depth=depth + 1)

    def _task(self, fields: Mapping[str, Any], at: str) -> Iterator[Diagnostic]:
        if "Credentials" in fields:
            yield Diagnostic(
                NOT_SERVED, "Credentials of a Task are not served by this local cloud", f"{at}/Credentials"
            )
        if not isinstance(fields.get("Resource"), str):
            return
        try:
            resource = parse_resource(fields["Resource"])
            if resource.kind == "sdk":
                from localcloud.services.states.sdk import check_action  # noqa: PLC0415 - loads botocore

                check_action(resource)
        except BadResource as error:
            yield Diagnostic(error.code, str(error), f"{at}/Resource")
            return
        pattern = resource.pattern or (resource.kind if resource.kind == ACTIVITY else "")
        if self._kind == "EXPRESS" and pattern:
            message = f"Express state machine does not support '{pattern}' service integration"
            yield Diagnostic(SCHEMA, message, f"{at}/Resource")
        timeout, heartbeat = fields.get("TimeoutSeconds"), fields.get("HeartbeatSeconds")
        if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
            message = "HeartbeatSeconds must be smaller than TimeoutSeconds"
            yield Diagnostic(SCHEMA, message, f"{at}/HeartbeatSeconds")


def _place(problem: Problem, at: str) -> Diagnostic:
    return Diagnostic(problem.code, problem.message, f"{at}{problem.place}")


def _unknown(fields: Mapping[str, Any], at: str, known: frozenset[str]) -> Iterator[Diagnostic]:
    for name in fields:
        if name not in known:
            yield Diagnostic(SCHEMA, "Field is not supported", f"{at}/{name}")


def _check_start(start: Any, states: Mapping[str, Any], at: str) -> Iterator[Diagnostic]:
    if not isinstance(start, str):
        yield Diagnostic(SCHEMA, "The field 'StartAt' is required", f"{at}/StartAt")
    elif start not in states:
        yield Diagnostic(TARGET, f"Missing 'Next' target: {start}", f"{at}/StartAt")


def is_jsonata(fields: Mapping[str, Any], *, outer: bool) -> bool:
    """Whether a machine, or a state of a machine in JSONata (`outer`), is in JSONata: its own word counts."""
    return fields["QueryLanguage"] != "JSONPath" if "QueryLanguage" in fields else outer


def _check_language(fields: Mapping[str, Any], at: str) -> Iterator[Diagnostic]:
    language = fields.get("QueryLanguage", "JSONPath")
    if not isinstance(language, str):
        yield Diagnostic(SCHEMA, "Expected value of type [STRING]", f"{at}/QueryLanguage")
    elif language not in {"JSONPath", "JSONata"}:
        message = "Value should be one of the following: [JSONPath, JSONata]"
        yield Diagnostic(SCHEMA, message, f"{at}/QueryLanguage")


def _check_default(fields: Mapping[str, Any], at: str, others: Mapping[str, Any]) -> Iterator[Diagnostic]:
    default = fields.get("Default")
    if isinstance(default, str) and default not in others:
        yield Diagnostic(TARGET, f"Missing 'Default' target: {default}", f"{at}/Default")


def _check_fields(kind: str, fields: Mapping[str, Any], at: str) -> Iterator[Diagnostic]:
    known = FIELDS[kind]
    for name, value in fields.items():
        if name not in known:
            yield _unknown_field(kind, name, at)
            continue
        problem = known[name](value)
        if problem:
            yield Diagnostic(SCHEMA, problem, f"{at}/{name}")
    for name in REQUIRED.get(kind, ()):
        if name not in fields:
            yield Diagnostic(SCHEMA, f"The field '{name}' is required but was missing", f"{at}/{name}")
    yield from _check_pairs(fields, at)
    if kind == "Wait" and sum(name in fields for name in known if name.startswith(("Seconds", "Timestamp"))) != 1:
        message = "Exactly one of 'Seconds', 'SecondsPath', 'Timestamp' or 'TimestampPath' is required"
        yield Diagnostic(SCHEMA, message, at)


def _unknown_field(kind: str, name: str, at: str) -> Diagnostic:
    if name not in QUERY_FIELDS[kind]:
        return Diagnostic(SCHEMA, "Field is not supported", f"{at}/{name}")
    message = (
        f"The QueryLanguage is set to 'JSONPath', but field '{name}' is only supported for the 'JSONata' QueryLanguage"
    )
    return Diagnostic(SCHEMA, message, at)


def _check_pairs(fields: Mapping[str, Any], at: str) -> Iterator[Diagnostic]:
    for one, other in _PAIRS:
        if one in fields and other in fields:
            yield Diagnostic(SCHEMA, f"'{one}' and '{other}' cannot both be specified", f"{at}/{other}")


def _check_flow(kind: str, fields: Mapping[str, Any], at: str, *, others: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if kind in _ENDS:
        return
    if ("Next" in fields) is bool(fields.get("End")):
        yield Diagnostic(SCHEMA, "Exactly one of 'Next' and 'End' is required", at)
    elif "Next" in fields and not isinstance(fields["Next"], str):
        return  # said by the field's own check
    elif "Next" in fields and fields["Next"] not in others:
        yield Diagnostic(TARGET, f"Missing 'Next' target: {fields['Next']}", f"{at}/Next")


def _reachable(start: str, states: Mapping[str, Any]) -> set[str]:
    found, pending = {start}, [start]
    while pending:
        state = states[pending.pop()]
        targets = {state.get("Next"), state.get("Default")}
        targets.update(each.get("Next") for each in (*state.get("Choices", ()), *state.get("Catch", ())))
        fresh = {target for target in targets if target is not None} - found
        found |= fresh
        pending.extend(fresh)
    return found
