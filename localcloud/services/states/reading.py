"""What a state hands on: arguments, items, the input of an iteration. In the language that the state is in.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.services.states.data import fill
from localcloud.services.states.definition import State
from localcloud.services.states.flow import Lane
from localcloud.services.states.paths import Scope
from localcloud.services.states.query_data import evaluate
from localcloud.services.states.steps import read_value

__all__ = ["read_arguments", "read_items", "read_template", "select_item"]


async def read_arguments(state: State, scope: Scope, lane: Lane) -> Any:
    """What a task, or a Parallel's branches, are given: the input unless the state says else. Raises StateFailure."""
    name, found = "Arguments" if state.jsonata else "Parameters", scope.value
    if name in state.fields:
        found = await read_template(state, state.fields[name], name, scope=scope, lane=lane)
    lane.run.note(f"after{name}", found)
    return found


async def read_template(state: State, template: Any, place: str, *, scope: Scope, lane: Lane) -> Any:
    """A payload template, or a value with expressions, filled. Raises StateFailure."""
    if state.jsonata:
        return await evaluate(template, place, scope, lane=lane)
    return fill(template, scope, lane.run.world.rng)


async def read_items(state: State, scope: Scope, lane: Lane) -> Any:
    """What Items or ItemsPath gives, else the input. Raises StateFailure."""
    name = "Items" if state.jsonata else "ItemsPath"
    if name not in state.fields:
        return scope.value
    if state.jsonata:
        return await evaluate(state.fields[name], name, scope, lane=lane)
    return read_value(state.fields[name], scope, lane)


async def select_item(state: State, scope: Scope, item: Mapping[str, Any], *, lane: Lane) -> Any:
    """The input of an iteration: the item, or what ItemSelector makes of it and the Map's own input."""
    template = state.fields.get("ItemSelector", None if state.jsonata else state.fields.get("Parameters"))
    if template is None:
        return item["Value"]
    inner = Scope(scope.value, {**scope.context, "Map": {"Item": item}}, scope.variables)
    return await read_template(state, template, "ItemSelector", scope=inner, lane=lane)
