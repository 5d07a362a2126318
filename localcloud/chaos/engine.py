"""Chaos in one cloud: where a plan's faults are put in, and taken out again.

A function's environment that starts while a plan is about it gets a proxy before its Runtime API; the front hands calls
to `_disturb` while a plan is about calls. Without a plan there is neither. One plan at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

from localcloud.chaos.deliveries import Effects
from localcloud.chaos.drawing import Verdict
from localcloud.chaos.faults import CallDrop, CallError, CallHang, CallThrottle, RegionSkew
from localcloud.chaos.fields import PlanError
from localcloud.chaos.plan import FUNCTIONS, PEOPLE, SERVICES, Plan
from localcloud.chaos.proxy import RuntimeProxy
from localcloud.chaos.refusing import fail_call, throttle_call
from localcloud.chaos.running import Caller, Run, edges_of, find_functions
from localcloud.chaos.skew import ShiftedClock
from localcloud.compute.cloud import Compute
from localcloud.front import Front
from localcloud.services.contract import NoAnswer, WireRequest, WireResponse
from localcloud.services.iam.model import Principal
from localcloud.traces.calls import name_operation

__all__ = ["TICK_S", "Busy", "Chaos", "Tell"]

TICK_S: Final = 1.0  # how often counts are told while they change
Tell: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]


class Busy(Exception):
    """Another plan is on."""


class _Principals(Protocol):
    def principal_of(self, access_key: str) -> Principal: ...


class Chaos:
    """The faults of one cloud. Nothing can be run before `join`."""

    def __init__(self, front: Front, principals: _Principals, *, region: str, clock: ShiftedClock) -> None:
        self.region = region
        self._front = front
        self._principals = principals
        self._clock = clock
        self._compute: Compute | None = None
        self._run: Run | None = None

    def join(self, compute: Compute) -> None:
        """The functions to break."""
        self._compute = compute

    async def interpose(self, function: str, upstream: str, kill: Callable[[], None]) -> RuntimeProxy | None:
        """What to put before the Runtime API of an environment that starts now; None for nothing."""
        run, compute = self._run, self._compute
        if run is None or compute is None or function not in run.touched():
            return None
        name = self._told_as(function)
        effects = Effects(lambda: run.of_function(function), lambda step: run.tally.add(step, name), kill)
        proxy = RuntimeProxy(upstream, effects, clock=self._clock.true, group=compute.group)
        await proxy.open()
        return proxy

    async def run(self, plan: Plan, tell: Tell, *, is_part: bool = False) -> dict[str, Any]:
        """Run a plan to its end, or until `stop`; the report. However it ends, everything is as before.

        `tell` is given what happens meanwhile. `is_part`: steps that are not for this Region are somebody else's, not a
        mistake. Raises PlanError, Busy.
        """
        if not is_part:
            self._check_regions(plan)
        run = self._begin(plan)
        try:
            await tell({"type": "begun", "region": self.region, "seed": plan.seed, "for_s": plan.ends_s})
            await self._follow(run, tell)
        finally:
            self._end(run)
        return {"stopped": run.stopping.is_set(), "parts": [run.report()]}

    async def stop(self) -> None:
        """End the plan that is on, and wait until it has ended."""
        run = self._run
        if run is not None:
            run.stopping.set()
            await run.over.wait()

    def tell(self) -> dict[str, Any]:
        """Whether a plan is on, and what it has done."""
        run = self._run
        return {"on": False, "parts": []} if run is None else {"on": True, "parts": [run.report()]}

    # ------------------------------------------------------------------ the run

    def _begin(self, plan: Plan) -> Run:
        if self._run is not None:
            raise Busy("a plan is on; `sluiceway chaos stop` ends it")
        compute = self._compute
        if compute is None:
            raise Busy("the cloud is starting")
        specs = compute.functions.list()
        functions = find_functions(plan, specs, self.region)
        run = self._run = Run(plan, self.region, functions, asyncio.get_running_loop().time())
        if any(draw.step.kind == "call" for draw in run.draws):
            self._front.between = self._disturb
        self._renew(run)
        return run

    def _check_regions(self, plan: Plan) -> None:
        """Every Region that a step names is this one; what is between Regions is the host's."""
        for number, step in enumerate(plan.steps):
            fault = step.fault
            if step.kind == "region" and not isinstance(fault, RegionSkew):
                raise PlanError(f"steps[{number}].fault: {fault.name} needs several Regions: `up --regions A,B`")
            if not step.is_for(self.region):
                field = "region" if isinstance(fault, RegionSkew) else "regions"
                raise PlanError(f"steps[{number}].{field}: this is the cloud of {self.region}")

    def _renew(self, run: Run) -> None:
        """Let no environment that runs now be used again: the next ones start with what a plan wants, or without."""
        if self._compute is not None:
            there = {spec.name for spec in self._compute.functions.list()}
            for name in sorted(run.touched() & there):
                self._compute.functions.renew(name)

    def _end(self, run: Run) -> None:
        self._run = None
        self._front.between = None
        self._clock.by_s = 0.0
        run.over.set()
        self._renew(run)

    async def _follow(self, run: Run, tell: Tell) -> None:
        """Wait for the end, and tell on the way what begins and ends, and what was done."""
        edges = edges_of(run.plan)
        told = 0
        while edges and not run.stopping.is_set():
            due_s = min(edges[0][0], run.elapsed_s() + TICK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(run.began + due_s):
                    await run.stopping.wait()
            while edges and edges[0][0] <= run.elapsed_s():
                await self._pass_edge(run, edges.pop(0), tell)
            if run.tally.total != told:
                told = run.tally.total
                await tell({"type": "counts", "region": self.region, "at_s": round(run.elapsed_s(), 1), "total": told})

    async def _pass_edge(self, run: Run, edge: tuple[float, bool, int], tell: Tell) -> None:
        at_s, begins, number = edge
        step = run.plan.steps[number]
        if not step.is_for(self.region):
            return
        if isinstance(step.fault, RegionSkew):
            self._clock.by_s = step.fault.by_s if begins else 0.0
            if begins:
                run.tally.add(number, self.region)
        what = {"step": number, "fault": step.fault.name, "on": begins, "at_s": at_s}
        await tell({"type": "step", "region": self.region, **what})

    # ------------------------------------------------------------------ calls

    async def _disturb(
        self, request: WireRequest, answer: Callable[[WireRequest], Awaitable[WireResponse]]
    ) -> WireResponse:
        """The answer to a call, with what the plan wants for it. Raises NoAnswer."""
        run = self._run
        if run is None:
            return await answer(request)
        caller, operation = self._caller_of(request), name_operation(request)
        verdict = run.of_call(request.service, operation, caller)
        who = self._told_as(caller.name) if caller.name else caller.kind
        target = f"{who} {request.service}:{operation}"
        for step in verdict.delays:
            run.tally.add(step, target)
        if verdict.delay_s:
            await _until(run, verdict.delay_s)
        if verdict.fault is not None:
            run.tally.add(verdict.step, target)
        return await _carry_out(verdict, run, request, operation=operation, answer=answer)

    def _caller_of(self, request: WireRequest) -> Caller:
        principal = self._principals.principal_of(request.access_key)
        if not principal.role_arn:
            return Caller(PEOPLE)
        compute = self._compute
        names = {spec.name for spec in compute.functions.list()} if compute is not None else set[str]()
        return Caller(FUNCTIONS, principal.session) if principal.session in names else Caller(SERVICES)

    def _told_as(self, function: str) -> str:
        specs = self._compute.functions.list() if self._compute is not None else ()
        return next((spec.logical_id for spec in specs if spec.name == function and spec.logical_id), function)


async def _carry_out(
    verdict: Verdict,
    run: Run,
    request: WireRequest,
    *,
    operation: str,
    answer: Callable[[WireRequest], Awaitable[WireResponse]],
) -> WireResponse:
    fault = verdict.fault
    if isinstance(fault, CallThrottle):
        return throttle_call(request, operation)
    if isinstance(fault, CallError):
        return fail_call(request, fault.status)
    if isinstance(fault, CallHang):
        await _until(run, run.left_s(verdict.step))
        raise NoAnswer("a chaos plan let the call hang")
    if isinstance(fault, CallDrop) and fault.when == "before":
        raise NoAnswer("a chaos plan dropped the call")
    response = await answer(request)
    if not isinstance(fault, CallDrop):
        return response
    if not isinstance(response.body, bytes):
        async for _ in response.body:  # a service that streams its answer has done its work at the end of it
            pass
    raise NoAnswer("a chaos plan dropped the answer")


async def _until(run: Run, seconds: float) -> None:
    """Wait so long, or until the plan is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await run.over.wait()
