"""State machines and their executions, without a wire: names, revisions, starts, stops, ends.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import Dispatch
from localcloud.services.states.activities import Activities
from localcloud.services.states.calls import Ended, ServiceCaller
from localcloud.services.states.data import MAX_BYTES, size_of
from localcloud.services.states.definition import read_definition
from localcloud.services.states.describing import describe_execution, pascal_keys
from localcloud.services.states.distributed import MapRun, MapRuns
from localcloud.services.states.errors import StatesError, no_execution, no_machine, wrong_type
from localcloud.services.states.execution import EXPRESS, Execution, Order, make_history, perform
from localcloud.services.states.flow import Revision, World
from localcloud.services.states.history import Event
from localcloud.services.states.names import check_name, execution_arn, machine_arn
from localcloud.services.states.pacing import Admission
from localcloud.services.states.queries import Evaluator
from localcloud.services.states.query_process import InlineEvaluator
from localcloud.services.states.tokens import Tokens
from localcloud.services.states.versions import Chosen, Version, Versions
from localcloud.uuids import new_uuid

__all__ = ["Ports", "StateMachine", "StateMachines"]

MAX_MACHINES: Final = 10_000  # of an account and Region
MAX_KEPT: Final = 1_000  # executions of a machine that have ended, ours: AWS keeps all for 90 days
KEPT_S: Final = 90 * 86_400  # "for 90 days after the execution is closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What machines reach. `changed`: an execution began or ended. `logger`: who hears events of a revision's logs.

    `evaluator`: of JSONata; without one, expressions hold up the event loop.
    """

    dispatch: Dispatch
    assume: Callable[[str], str]
    changed: Callable[[Execution], None]
    logger: Callable[[Revision, str], Callable[[Event], None] | None]
    clock: Clock
    rng: random.Random
    evaluator: Evaluator = field(default_factory=InlineEvaluator)


@dataclass(slots=True)
class StateMachine:
    """A state machine. `executions` by name, those of standard ones only."""

    revision: Revision
    created_s: float
    tags: dict[str, str]
    status: str = "ACTIVE"
    executions: dict[str, Execution] = field(default_factory=dict[str, Execution])
    ended: deque[Execution] = field(default_factory=deque[Execution])
    versions: Versions = field(init=False)

    def __post_init__(self) -> None:
        self.versions = Versions(self.revision.arn)


class StateMachines:
    """All state machines of every Region. Executions are tasks of `group`; one event loop."""

    def __init__(self, ports: Ports, *, group: asyncio.TaskGroup) -> None:
        self._ports = ports
        self._group = group
        self._machines: dict[str, StateMachine] = {}
        self._running: set[Execution] = set()
        self._admission = Admission()
        self.tokens = Tokens(ports.rng)
        self.activities = Activities(ports.clock)
        caller = ServiceCaller(
            dispatch=ports.dispatch, assume=ports.assume, follow_execution=self.follow, rng=ports.rng
        )
        self.map_runs = MapRuns(self._run_child, self._rerun_child)
        self.world = World(
            clock=ports.clock,
            rng=ports.rng,
            caller=caller,
            tokens=self.tokens,
            maps=self.map_runs,
            evaluator=ports.evaluator,
            activities=self.activities,
        )

    # ------------------------------------------------------------------ machines

    def create(self, values: Mapping[str, Any], region: str) -> tuple[StateMachine, bool]:
        """Make a machine, or give the one that is the same. Raises StatesError."""
        name, kind = values["name"], values.get("type", "STANDARD")
        check_name(name)
        arn = machine_arn(name, region)
        machine = read_definition(values["definition"], kind)
        known = self._machines.get(arn)
        if known is not None:
            self._check_same(known, values)
            return known, False
        if len(self._machines) >= MAX_MACHINES:
            raise StatesError("StateMachineLimitExceeded", "State Machine Limit Exceeded")
        now_s = self._ports.clock.time()
        revision = Revision(
            arn=arn,
            name=name,
            kind=kind,
            text=values["definition"],
            machine=machine,
            role_arn=values["roleArn"],
            region=region,
            revision_id=new_uuid(self._ports.rng),
            logs=dict(values.get("loggingConfiguration", {})),
            traced=bool(values.get("tracingConfiguration", {}).get("enabled")),
            updated_s=now_s,
        )
        made = self._machines[arn] = StateMachine(revision, now_s, dict(values.get("tags", {})))
        return made, True

    @staticmethod
    def _check_same(known: StateMachine, values: Mapping[str, Any]) -> None:
        """Creation is idempotent by name, definition, type, logs and tracing; role and tags do not count."""
        revision = known.revision
        same = (
            revision.text == values["definition"]
            and revision.kind == values.get("type", "STANDARD")
            and revision.logs == dict(values.get("loggingConfiguration", {}))
            and revision.traced == bool(values.get("tracingConfiguration", {}).get("enabled"))
        )
        if not same:
            raise StatesError("StateMachineAlreadyExists", f"State Machine Already Exists: '{known.revision.arn}'")

    def update(self, machine: StateMachine, values: Mapping[str, Any]) -> Revision:
        """A new revision; executions that run go on with the one that they have. Raises StatesError."""
        old = machine.revision
        text = values.get("definition", old.text)
        logs = values.get("loggingConfiguration")
        tracing = values.get("tracingConfiguration")
        machine.revision = Revision(
            arn=old.arn,
            name=old.name,
            kind=old.kind,
            text=text,
            machine=read_definition(text, old.kind) if text != old.text else old.machine,
            role_arn=values.get("roleArn", old.role_arn),
            region=old.region,
            revision_id=new_uuid(self._ports.rng),
            logs=old.logs if logs is None else dict(logs),
            traced=old.traced if tracing is None else bool(tracing.get("enabled")),
            updated_s=self._ports.clock.time(),
        )
        return machine.revision

    def find(self, arn: str) -> StateMachine:
        """The machine of an ARN. Raises StatesError."""
        machine = self._machines.get(arn)
        if machine is None:
            raise no_machine(arn)
        return machine

    def list(self, region: str) -> list[StateMachine]:
        """The machines of a Region, by name."""
        found = [each for each in self._machines.values() if each.revision.region == region]
        return sorted(found, key=lambda each: each.revision.arn)

    def delete(self, arn: str) -> None:
        """Forget a machine and stop what runs of it; nothing where there is none."""
        machine = self._machines.pop(arn, None)
        if machine is None:
            return
        machine.status = "DELETING"
        for execution in tuple(self._running):
            if execution.revision.arn == arn:
                execution.stop(None, None)

    # ------------------------------------------------------------------ executions

    def resolve(self, arn: str) -> Chosen:
        """What executions of a machine, a version or an alias begin with, by its ARN. Raises StatesError."""
        if arn.count(":") < 7:
            return Chosen(self.find(arn).revision)
        machine_arn, _, qualifier = arn.rpartition(":")
        machine = self._machines.get(machine_arn)
        chosen = None if machine is None else machine.versions.choose(qualifier, self._ports.rng)
        if chosen is None:
            raise no_machine(arn)
        return chosen

    def publish(self, machine: StateMachine, description: str) -> Version:
        """A version of the machine as it is. Raises StatesError."""
        return machine.versions.publish(machine.revision, description, self._ports.clock.time())

    def start(self, chosen: Chosen, values: Mapping[str, Any], *, is_awaited: bool = False) -> Execution:
        """Begin an execution; one of the same name with the same input that runs is given back.

        `is_awaited`: synchronous ones "do not contribute to existing account capacity limits".
        Raises StatesError.
        """
        machine, revision, text = self.find(chosen.revision.arn), chosen.revision, values.get("input", "{}")
        if not is_awaited:
            now_s = asyncio.get_running_loop().time()
            self._admission.admit(revision.region, revision.kind, running=len(self._running), now_s=now_s)
        _check_input(text)
        name = values.get("name") or new_uuid(self._ports.rng)
        check_name(name)
        self._forget(machine)
        known = machine.executions.get(name)
        if known is not None:
            if known.status == "RUNNING" and known.order.text == text:
                return known
            raise StatesError("ExecutionAlreadyExists", f"Execution Already Exists: '{known.arn}'")
        order = Order(
            arn=execution_arn(revision, name, self._ports.rng),
            name=name,
            text=text,
            trace_header=values.get("traceHeader", ""),
            version_arn=chosen.version_arn,
            alias_arn=chosen.alias_arn,
        )
        execution = self._make(revision, order)
        if revision.kind != EXPRESS:
            machine.executions[name] = execution
            self._ports.changed(execution)
        execution.task = self._group.create_task(self._perform(execution))
        return execution

    def redrive(self, execution: Execution, token: str) -> None:
        """Have an execution go on that has ended without success. Raises StatesError."""
        revision = execution.revision
        now_s = asyncio.get_running_loop().time()
        self._admission.admit(revision.region, "REDRIVE", running=len(self._running), now_s=now_s)
        self.find(revision.arn).ended.remove(execution)
        execution.begin_again(self._ports.clock.time(), token)
        self._ports.changed(execution)
        execution.task = self._group.create_task(self._perform(execution))

    async def run_to_end(self, arn: str, text: str) -> str:
        """The output of a new execution of an Express machine, "" where it fails. Raises StatesError."""
        chosen = self.resolve(arn)
        if chosen.revision.kind != EXPRESS:
            raise wrong_type("This operation is not supported by this type of state machine")
        execution = self.start(chosen, {"input": text}, is_awaited=True)
        await execution.ended.wait()
        return execution.output

    async def follow(self, execution_arn: str) -> Ended:
        """The end of an execution; one that is followed no longer is stopped. Raises StatesError."""
        execution = self.find_execution(execution_arn)
        try:
            await execution.ended.wait()
        except asyncio.CancelledError:
            execution.stop(None, None)
            raise
        return Ended(execution.status == "SUCCEEDED", pascal_keys(describe_execution(execution)))

    def find_execution(self, arn: str) -> Execution:
        """The execution of an ARN. Raises StatesError."""
        child = self.map_runs.find_child(arn)
        if child is not None:
            return child
        parts = arn.split(":")
        machine = self._machines.get(":".join([*parts[:5], "stateMachine", parts[6]])) if len(parts) == 8 else None
        if machine is not None and parts[5] == "execution":
            self._forget(machine)
            if parts[7] in machine.executions:
                return machine.executions[parts[7]]
        raise no_execution(arn)

    def executions(self, machine: StateMachine) -> Iterable[Execution]:
        """Those of a machine, the latest first."""
        self._forget(machine)
        return reversed(tuple(machine.executions.values()))

    def children(self, run: MapRun) -> Iterable[Execution]:
        """Those of a run of a Map, the latest first."""
        return reversed(run.executions)

    async def close(self) -> None:
        """End every execution with the local cloud."""
        for execution in tuple(self._running):
            if execution.task is not None:
                execution.task.cancel()
        await self._ports.evaluator.close()

    async def _perform(self, execution: Execution) -> None:
        self._running.add(execution)
        try:
            await perform(execution, self.world)
        finally:
            self._running.discard(execution)
            execution.ended.set()
            if execution.status != "RUNNING":
                self._settle(execution)

    def _settle(self, execution: Execution) -> None:
        machine = self._machines.get(execution.revision.arn)
        if execution.revision.kind == EXPRESS or execution.order.map_run_arn:
            return
        self._ports.changed(execution)
        if machine is not None:
            machine.ended.append(execution)

    def _forget(self, machine: StateMachine) -> None:
        """Drop what ended 90 days ago, and the oldest where there are too many."""
        oldest_s = self._ports.clock.time() - KEPT_S
        ended = machine.ended
        while ended and ((ended[0].stop_s or 0.0) < oldest_s or len(ended) > MAX_KEPT):
            machine.executions.pop(ended.popleft().order.name, None)

    def _make(self, revision: Revision, order: Order) -> Execution:
        history = make_history(self.world, revision, self._ports.logger(revision, order.arn))
        return Execution(revision, order, self._ports.clock.time(), history)

    async def _run_child(self, revision: Revision, order: Order, run: MapRun) -> Execution:
        """An execution of a Map's item, to its end."""
        execution = self._make(revision, order)
        self.map_runs.add_child(execution, run)
        execution.task = asyncio.current_task()
        await self._perform(execution)
        return execution

    async def _rerun_child(self, execution: Execution) -> None:
        """An execution of a Map's item, redriven with its Map, to its end."""
        execution.begin_again(self._ports.clock.time(), "")
        execution.task = asyncio.current_task()
        await self._perform(execution)


def _check_input(text: str) -> None:
    try:
        parse_json(text)
    except MalformedJson as error:
        raise StatesError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'") from error
    if size_of(text) > MAX_BYTES:
        message = f"Invalid State Machine Execution Input: 'Input exceeds {MAX_BYTES} bytes'"
        raise StatesError("InvalidExecutionInput", message)
