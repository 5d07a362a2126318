"""What states of an execution share while it runs: the world that they act on, and the line of states that they are in.

A `Lane` is one line: the machine's, a branch's, an iteration's. Each has variables of its own and sees those around it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from localcloud.clock import Clock
from localcloud.services.states.activities import Activities
from localcloud.services.states.data import MAX_BYTES, fill, size_of, write_json
from localcloud.services.states.definition import Machine, State
from localcloud.services.states.failures import DATA_LIMIT, RUNTIME, StateFailure
from localcloud.services.states.history import History
from localcloud.services.states.pacing import Pacer
from localcloud.services.states.paths import Scope
from localcloud.services.states.queries import Evaluator
from localcloud.services.states.task_resource import TaskResource

__all__ = [
    "Lane",
    "MapStarter",
    "Mark",
    "PendingTask",
    "Revision",
    "Run",
    "TaskCaller",
    "TaskTokens",
    "World",
    "show_time",
]

_MAX_VARIABLES_BYTES: Final = 10 * 1024 * 1024  # of an execution's variables together; workflow-variables.html


def show_time(epoch_s: float) -> str:
    """A date as the context object has it."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TaskTokens(Protocol):
    """The tokens of tasks that wait for somebody."""

    def open(self, run: Run) -> PendingTask:
        """A new token and its wait."""
        ...


class PendingTask(Protocol):
    """A task that waits for its token to be given back."""

    token: str

    async def answered(self, *, heartbeat_s: float | None) -> Any:
        """What SendTaskSuccess brings. Raises StateFailure of SendTaskFailure, and States.HeartbeatTimeout."""
        ...

    def close(self) -> None:
        """Nobody waits any more."""
        ...


class TaskCaller(Protocol):
    """The way to the services of tasks, with the role of the machine."""

    async def call(self, resource: TaskResource, arguments: Any, run: Run) -> Any:
        """What the service answers. Raises StateFailure."""
        ...

    async def follow(self, resource: TaskResource, answer: Any) -> Any:
        """The end of what a `.sync` task started. Raises StateFailure."""
        ...


class MapStarter(Protocol):
    """Runs Maps of the distributed mode."""

    async def run_map(self, state: State, scope: Scope, *, lane: Lane) -> Any:
        """What all child executions give. Raises StateFailure."""
        ...


class StateMock(Protocol):
    """What stands in for a state that calls something."""

    async def give(self, state: State, scope: Scope, lane: Lane) -> Any:
        """What the state is said to give. Raises StateFailure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What every execution needs."""

    clock: Clock
    rng: random.Random
    caller: TaskCaller
    tokens: TaskTokens
    maps: MapStarter
    evaluator: Evaluator
    activities: Activities
    pacer: Pacer = field(default_factory=Pacer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A machine as it is at one time: executions that began with it end with it."""

    arn: str
    name: str
    kind: str
    text: str
    machine: Machine
    role_arn: str
    region: str
    revision_id: str
    logs: dict[str, Any]
    traced: bool
    updated_s: float
    label: str = ""


@dataclass(slots=True, kw_only=True)
class Run:
    """One execution while it runs. `facts`: the context object's Execution and StateMachine.

    Where a state is tested: `notes` has what each step of the data gave, `mock` what the state is said to give, and
    `told_context` what the context object is said to hold.
    """

    arn: str
    revision: Revision
    history: History
    facts: Mapping[str, Any]
    world: World
    variables_bytes: int = 0
    notes: dict[str, Any] | None = None
    mock: StateMock | None = None
    told_context: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def note(self, name: str, value: Any) -> None:
        """Keep what a step of a state's data gave, where somebody inspects it."""
        if self.notes is not None:
            self.notes[name] = value

    @property
    def role_arn(self) -> str:
        """The role that it acts in."""
        return self.revision.role_arn

    @property
    def region(self) -> str:
        """The Region that it is in."""
        return self.revision.region


@dataclass(slots=True)
class Mark:
    """Where a line of states is, so that a redrive goes on from there: in which state, with what and since which event.

    `inner`: the lines inside the state by their number, `items` those of a Map, `map_run` the ARN of its run. A line
    that `is_done` gave `result`.
    """

    state: str = ""
    raw: Any = None
    entered: int = 0
    own: dict[str, Any] = field(default_factory=dict[str, Any])
    inner: dict[int, Mark] = field(default_factory=dict[int, "Mark"])
    items: list[Any] | None = None
    map_run: str = ""
    is_done: bool = False
    result: Any = None

    def inside(self, number: int) -> Mark:
        """The mark of a line inside the state."""
        return self.inner.setdefault(number, Mark())

    def enter(self, state: str, raw: Any, own: dict[str, Any]) -> None:
        """The line is in a state now, from its beginning."""
        self.state, self.raw, self.own, self.entered = state, raw, own, 0
        self.forget()

    def forget(self) -> None:
        """The state is tried from its beginning."""
        self.inner, self.items, self.map_run = {}, None, ""

    def finish(self, result: Any) -> None:
        """The line has come to its end."""
        self.is_done, self.result, self.state, self.raw, self.own = True, result, "", None, {}
        self.forget()


@dataclass(slots=True)
class Lane:
    """One line of states. `previous`: its last event. `item`: what the context object has of a Map's item.

    `output`: what its last state gave, and that as JSON, which need not be written again for the next.
    """

    run: Run
    previous: int
    outer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    item: Mapping[str, Any] | None = None
    own: dict[str, Any] = field(default_factory=dict[str, Any])
    output: tuple[Any, str] = (None, "")
    mark: Mark = field(default_factory=Mark)

    def add(self, kind: str, /, **details: Any) -> int:
        """An event after the last one."""
        self.previous = self.run.history.add(kind, self.previous, **details)
        return self.previous

    @property
    def variables(self) -> Mapping[str, Any]:
        """All that it sees."""
        return {**self.outer, **self.own} if self.own else self.outer

    def assign(self, template: Mapping[str, Any], scope: Scope) -> Mapping[str, Any]:
        """Set variables, all with the values that they had before. Raises StateFailure."""
        made: dict[str, Any] = fill(template, scope, self.run.world.rng) if template else {}
        self.put(made)
        return made

    def put(self, made: Mapping[str, Any]) -> None:
        """Set variables to values. Raises StateFailure."""
        for name, value in made.items():
            if name in self.outer:
                message = f"The variable '{name}' belongs to an outer scope and cannot be assigned here"
                raise StateFailure(RUNTIME, message, located=False)
            size = size_of(write_json(value))
            before = size_of(write_json(self.own[name])) if name in self.own else 0
            self.run.variables_bytes += size - before
            if size > MAX_BYTES or self.run.variables_bytes > _MAX_VARIABLES_BYTES:
                raise StateFailure(DATA_LIMIT, f"The variable '{name}' exceeds the maximum size of variables.")
        self.own.update(made)

    def restore(self) -> tuple[str, Any]:
        """Go on where the line's mark is: the state's name and its input, with the variables that were set."""
        self.own.update(self.mark.own)
        self.mark.own = self.own
        self.run.variables_bytes += sum(size_of(write_json(value)) for value in self.own.values())
        return self.mark.state, self.mark.raw

    def inside(self, number: int, *, previous: int, item: Mapping[str, Any] | None = None) -> Lane:
        """A line inside a state of this one, by its number among them."""
        around = item if item is not None else self.item
        return Lane(self.run, previous, self.variables, around, mark=self.mark.inside(number))
