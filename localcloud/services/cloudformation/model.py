"""The stacks that run here, nested ones too, as CloudFormation's API tells of them: written by the deployer's steps.

Owns no resource and changes none. Dates come from the clock.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from localcloud.clock import Clock
from localcloud.services.cloudformation.errors import CloudFormationError
from localcloud.template.deploy import Deployed, Step, Watch
from localcloud.template.handler import NESTED_STACK
from localcloud.template.scope import pseudo_parameters
from localcloud.template.stack import Stack
from localcloud.uuids import new_uuid

__all__ = ["Event", "StackRecord", "Stacks", "stack_id_of"]


def stack_id_of(stack: Stack) -> str:
    """The ARN of a stack."""
    return str(pseudo_parameters(stack.context)["AWS::StackId"])


@dataclass(frozen=True, slots=True)
class Event:
    """One event, and when."""

    event_id: str
    at_s: float
    step: Step


@dataclass(slots=True)
class StackRecord:
    """One stack. `parent_id` is "" for the outermost; `latest` has the last event of every resource; `exported` the
    export's name of every output that has one.
    """

    stack: Stack
    stack_id: str
    root_id: str
    parent_id: str
    created_s: float
    status: str = "CREATE_IN_PROGRESS"
    ended_s: float = 0.0
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    exports: dict[str, str] = field(default_factory=dict[str, str])
    exported: dict[str, str] = field(default_factory=dict[str, str])
    events: list[Event] = field(default_factory=list[Event])
    latest: dict[str, Event] = field(default_factory=dict[str, Event])

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.stack.context.stack_name

    def original(self) -> str:
        """The template as it was written."""
        try:
            return self.stack.source.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return json.dumps(self.stack.source.body, default=str)

    def processed(self) -> str:
        """The template after every transform."""
        return json.dumps(self.stack.body, default=str)


class Stacks:
    """Every stack by name, in the order of beginning."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._records: dict[str, StackRecord] = {}

    def begin(self, stack: Stack, parent: str = "") -> Watch:
        """Note that a stack is being made, and hear its steps; `parent` is the name of the stack around it."""
        outer = self._records.get(parent)
        own = stack_id_of(stack)
        record = StackRecord(
            stack=stack,
            stack_id=own,
            root_id=outer.root_id if outer is not None else own,
            parent_id=outer.stack_id if outer is not None else "",
            created_s=self._clock.time(),
        )
        self._records[record.name] = record
        self._note(record, Step(record.name, NESTED_STACK, "CREATE_IN_PROGRESS", own, "User Initiated"))

        def watch(step: Step) -> None:
            self._note(record, step)

        return watch

    def end(self, deployed: Deployed) -> None:
        """Note that a stack is there."""
        record = self._records[deployed.stack.context.stack_name]
        record.outputs, record.exports = dict(deployed.outputs), dict(deployed.exports)
        record.exported = dict(deployed.exported)
        self._settle(record, "CREATE_COMPLETE")

    def fail(self, stack: Stack, reason: str) -> None:
        """Note that a stack could not be made and was rolled back."""
        self._settle(self._records[stack.context.stack_name], "ROLLBACK_COMPLETE", reason)

    def forget(self, stack: Stack) -> None:
        """Note that a stack is gone."""
        record = self._records[stack.context.stack_name]
        record.outputs, record.exports = {}, {}
        self._settle(record, "DELETE_COMPLETE")

    def all(self) -> Iterator[StackRecord]:
        """Every stack, the latest first."""
        yield from reversed(list(self._records.values()))

    def get(self, name_or_id: str) -> StackRecord:
        """The stack of a name or an ARN; a deleted one by its ARN alone. Raises CloudFormationError."""
        for record in self._records.values():
            is_gone = record.status == "DELETE_COMPLETE"
            if name_or_id == record.stack_id or (name_or_id == record.name and not is_gone):
                return record
        raise CloudFormationError("ValidationError", f"Stack with id {name_or_id} does not exist")

    def exports(self) -> Iterator[tuple[str, str, str]]:
        """The ARN of the stack, name and value of every export, by name."""
        found = [
            (record.stack_id, name, value)
            for record in self._records.values()
            for name, value in record.exports.items()
        ]
        yield from sorted(found, key=lambda export: export[1])

    def importers(self, export: str) -> list[str]:
        """The names of the stacks whose templates import an export by its literal name."""
        return [
            record.name
            for record in self._records.values()
            if record.status != "DELETE_COMPLETE" and _imports(record.stack.body, export)
        ]

    def _settle(self, record: StackRecord, status: str, reason: str = "") -> None:
        record.status, record.ended_s = status, self._clock.time()
        self._note(record, Step(record.name, NESTED_STACK, status, record.stack_id, reason))

    def _note(self, record: StackRecord, step: Step) -> None:
        known = record.latest.get(step.logical_id)
        if known is not None and not step.physical_id:  # it keeps its id through what follows
            step = Step(step.logical_id, step.type, step.status, known.step.physical_id, step.reason)
        event = Event(new_uuid(self._rng), self._clock.time(), step)
        record.events.append(event)
        if step.physical_id != record.stack_id:
            record.latest[step.logical_id] = event


def _imports(value: Any, export: str) -> bool:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return items.get("Fn::ImportValue") == export or any(_imports(item, export) for item in items.values())
    return isinstance(value, list) and any(_imports(item, export) for item in cast("list[Any]", value))
