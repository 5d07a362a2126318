"""Which states of a machine look at which variables. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeStateMachine.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from localcloud.services.states.definition import Machine, State
from localcloud.services.states.queries import expressions_in, used_names

__all__ = ["find_variable_references"]

_INSIDE: Final = frozenset({"Branches", "ItemProcessor", "Iterator"})


def find_variable_references(machine: Machine) -> dict[str, list[str]]:
    """By the name of each state that looks at any: the variables that some state of the machine sets."""
    states = list(_states(machine))
    assigned = {name.removesuffix(".$") for state in states for name in _assigned(state.fields)}
    found = {state.name: sorted(used_names(list(_texts(state))) & assigned) for state in states}
    return {name: names for name, names in found.items() if names}


def _states(machine: Machine) -> Iterator[State]:
    for state in machine.states.values():
        yield state
        for inner in state.inner:
            yield from _states(inner)


def _assigned(fields: Mapping[str, Any]) -> Iterator[str]:
    listed = [fields, *fields.get("Catch", ()), *fields.get("Choices", ())]
    for each in listed:
        yield from each.get("Assign", {})


def _texts(state: State) -> Iterator[str]:
    """Expressions, or what may be a path or an intrinsic function."""
    own = {name: value for name, value in state.fields.items() if name not in _INSIDE}
    if state.jsonata:
        yield from (text for _, text in expressions_in(own))
    else:
        yield from (text for text in _strings(own) if text.startswith(("$", "States.")))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _strings(each)
    elif isinstance(value, str):
        yield value
