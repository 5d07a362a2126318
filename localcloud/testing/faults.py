"""Faults in the application of one test, over the chaos engine: what can be asked for, and a plan of it that is on.

Faults are drawn by a seed, in the order in which invocations and calls come (docs/chaos.md). They end with their block,
by `end`, or with the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeAlias

from localcloud.chaos.plan import MAX_SPAN_S, read_plan
from localcloud.testing.hosting import HostedCloud

__all__ = ["Fault", "Faults", "Injected", "drop", "duplicate", "error", "fail_call", "kill", "latency", "throttle"]

Fault: TypeAlias = Mapping[str, Any]
"""A step of a plan, as docs/chaos.md has them; `for_s` may be left out."""


def latency(seconds: float, *functions: str, rate: float = 1, count: int | None = None) -> Fault:
    """Events are handed over so much later, in real time: functions' own deadlines run. All functions by default."""
    return _of_functions("function.latency", functions, rate=rate, count=count) | {"delay": {"fixed_s": seconds}}


def error(*functions: str, error_type: str = "ChaosError", rate: float = 1, count: int | None = None) -> Fault:
    """An error of this type in the handler's place."""
    return _of_functions("function.error", functions, rate=rate, count=count) | {"error_type": error_type}


def drop(*functions: str, rate: float = 1, count: int | None = None) -> Fault:
    """The handler works, and its answer never arrives: the invocation times out, and what it was given comes again."""
    return _of_functions("function.drop-response", functions, rate=rate, count=count)


def duplicate(*functions: str, rate: float = 1, count: int | None = None) -> Fault:
    """An event is handed over twice."""
    return _of_functions("function.duplicate", functions, rate=rate, count=count)


def kill(*functions: str, when: str = "before", rate: float = 1, count: int | None = None) -> Fault:
    """The environment's process is killed: `before`, `during` or `after` the handler's work."""
    return _of_functions("function.kill", functions, rate=rate, count=count) | {"when": when}


def throttle(service: str, *operations: str, callers: str = "functions", **often: Any) -> Fault:
    """A service's own throttling error, by its signing name (`dynamodb`); of all its operations by default.

    `callers`: `functions`, `people` (whoever calls with no role's key: the test), or a function. `often`: `rate`,
    `count`.
    """
    return _of_calls("call.throttle", service, operations, callers=[callers], **often)


def fail_call(service: str, *operations: str, status: int = 500, callers: str = "functions", **often: Any) -> Fault:
    """A service's own failure, 500 or 503; the rest as `throttle`."""
    return _of_calls("call.error", service, operations, status=status, callers=[callers], **often)


class Injected:
    """Faults that are on, until the end of the block, or `end`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def report(self) -> list[dict[str, Any]]:
        """What was done until now, by fault: how many it was about (`seen`), how many were hit (`injected`), which."""
        return self._faults.report()

    def end(self) -> None:
        """Everything is as before. Safe to repeat."""
        self._faults.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class Faults:
    """The faults of one test."""

    def __init__(self, host: HostedCloud) -> None:
        self._host = host
        self._report: list[dict[str, Any]] = []
        self._running: Future[dict[str, Any]] | None = None

    def inject(self, *faults: Fault, seed: int = 0) -> Injected:
        """Put faults in from now on, for a day of the cloud's time at most; environments start anew for them.

        Raises PlanError, which names the field, and Busy where others are on: what is to be on together is given
        together.
        """
        steps = [{"for_s": MAX_SPAN_S, **fault} for fault in faults]
        plan = read_plan({"seed": seed, "steps": steps})
        chaos, begun = self._host.cloud.chaos, Future[None]()

        async def tell(event: Mapping[str, Any]) -> None:
            if event["type"] == "begun":
                begun.set_result(None)

        def tell_end(ended: Future[dict[str, Any]]) -> None:
            if not begun.done():
                begun.set_exception(ended.exception())

        running = self._host.submit(lambda: chaos.run(plan, tell))
        running.add_done_callback(tell_end)
        begun.result()
        self._running = running
        return Injected(self)

    def report(self) -> list[dict[str, Any]]:
        """Of those that are on; after their end the last report."""

        async def read() -> list[dict[str, Any]]:
            parts: list[dict[str, Any]] = self._host.cloud.chaos.tell()["parts"]
            return parts[0]["steps"] if parts else []

        if self._running is not None and not self._running.done():
            self._report = self._host.run(read) or self._report
        return self._report

    def end(self) -> None:
        """End what is on; nothing where nothing is."""
        running, self._running = self._running, None
        if running is not None:
            self._host.run(self._host.cloud.chaos.stop)
            self._report = running.result()["parts"][0]["steps"]


def _of_functions(name: str, functions: tuple[str, ...], *, rate: float, count: int | None) -> dict[str, Any]:
    step: dict[str, Any] = {"fault": name, "rate": rate}
    if functions:
        step["functions"] = list(functions)
    return step if count is None else step | {"count": count}


def _of_calls(name: str, service: str, operations: tuple[str, ...], **rest: Any) -> dict[str, Any]:
    step: dict[str, Any] = {"fault": name, "service": service, **rest}
    return step | {"operations": list(operations)} if operations else step
