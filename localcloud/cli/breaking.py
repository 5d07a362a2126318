"""`sluiceway chaos run|status|stop|proxy`: plans of faults, asked of the cloud that runs, and a Runtime API proxy."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

from localcloud.caller import Unreachable, fetch
from localcloud.chaos.plan import Plan, PlanError, read_plan
from localcloud.chaos.random_plan import Targets, draw_plan
from localcloud.chaos.standalone import ProxySettings, run_proxy
from localcloud.state import RunningState, read_state

__all__ = ["run"]

OWN: Final = "/_sluiceway"
PATIENCE_S: Final = 60.0  # beyond the plan's end, and between two lines
MAX_PLAN_BYTES: Final = 1024 * 1024
DEFAULT_FOR_S: Final = 60
INTERRUPTED: Final = 130
_Told: TypeAlias = Mapping[str, Any]


def run(options: argparse.Namespace) -> int:
    """0 done; 1 refused or no answer; 2 a plan that is none, or called wrongly; 130 interrupted. Raises NotRunning."""
    try:
        if options.action == "proxy":
            return _run_proxy(options)
        state = read_state(options.state)
        if options.action == "run":
            return _run_plan(options, state)
        return _ask(options, state)
    except PlanError as error:
        return _fail(str(error), 2)
    except (Unreachable, OSError) as error:
        return _fail(str(error), 1)


def _fail(said: str, code: int) -> int:
    sys.stderr.write(f"sluiceway: {said}\n")
    return code


def _ask(options: argparse.Namespace, state: RunningState) -> int:
    path, method = f"{OWN}/chaos", "GET"
    if options.action == "stop":
        path, method = f"{path}/stop", "POST"
    told = _get(state, path, method=method)
    if options.as_json:
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    elif told["on"]:
        sys.stdout.write("a plan is on\n" + _describe(told))
    else:
        sys.stdout.write("no plan is on\n")
    return 0


def _get(state: RunningState, path: str, *, method: str = "GET") -> _Told:
    answer = fetch(state.endpoints["aws"] + path, method=method, headers={}, body=b"")
    told = cast("_Told", json.loads(answer.body))
    if "error" in told:
        raise Unreachable(str(told["error"]))
    return told


# ---------------------------------------------------------------------- plans


def _run_plan(options: argparse.Namespace, state: RunningState) -> int:
    if options.random == (options.plan is not None):
        raise PlanError("a plan's file, or --random: one of them")
    if options.random:
        seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        try:
            told = draw_plan(seed, options.for_s or DEFAULT_FOR_S, _targets(state))
        except ValueError as error:
            raise PlanError(str(error)) from error
        (sys.stderr if options.as_json else sys.stdout).write(json.dumps(told, indent=1) + "\n")
        plan = read_plan(told)
    else:
        if options.for_s is not None:
            raise PlanError("--for is the length of a random plan; steps of a plan have their own")
        plan = _read_file(options.plan, options.seed)
    return _follow(plan, state, as_json=options.as_json)


def _read_file(path: Path, seed: int | None) -> Plan:
    with path.open("rb") as file:
        text = file.read(MAX_PLAN_BYTES + 1)
    if len(text) > MAX_PLAN_BYTES:
        raise PlanError(f"{path}: a plan has {MAX_PLAN_BYTES} bytes at most")
    return read_plan(text, seed=seed)


def _targets(state: RunningState) -> Targets:
    """What runs in every Region of the cloud, so that a step without Regions is right in each."""
    states = [read_state(Path(folder)) for folder in state.regions.values()] or [state]
    functions = frozenset(states[0].functions).intersection(*(each.functions for each in states))
    services = cast("list[str]", _get(states[0], f"{OWN}/health")["services"])
    tables = cast("list[str]", _get(state, f"{OWN}/chaos").get("tables", []))
    return Targets(tuple(functions), tuple(services), tuple(state.regions), tuple(tables))


def _follow(plan: Plan, state: RunningState, *, as_json: bool) -> int:
    """Let the plan run, show its progress, and report. However this process ends, the plan ends with it."""
    sys.stdout.flush()
    parts = urlsplit(state.endpoints["aws"])
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=plan.ends_s + PATIENCE_S)
    asked_to_stop = threading.Event()
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", f"{OWN}/chaos", json.dumps(dict(plan.told)).encode(), headers)
        with _stopping_on_interrupt(state, asked_to_stop):
            report = _watch(connection.getresponse())
    except (HTTPException, OSError) as error:
        message = f"the local cloud broke off: {error!r}"
        raise Unreachable(message) from error
    finally:
        connection.close()
    if as_json:
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    else:
        sys.stdout.write(_describe(report))
    return INTERRUPTED if asked_to_stop.is_set() else 0


@contextmanager
def _stopping_on_interrupt(state: RunningState, asked: threading.Event) -> Generator[None]:
    """The first Ctrl-C asks the cloud to end the plan, which then reports; another one is what it always is.

    Nothing is raised for the first: a read of lines that is broken off in the middle cannot be gone on with.
    """

    def take(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        asked.set()
        sys.stderr.write("stopping\n")
        threading.Thread(target=_stop, args=(state,), daemon=True).start()

    before = signal.signal(signal.SIGINT, take)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(state: RunningState) -> None:
    with suppress(Unreachable):  # whoever reads the lines sees it too
        _get(state, f"{OWN}/chaos/stop", method="POST")


def _watch(answer: HTTPResponse) -> _Told:
    """Show each line until the report, which is given. Raises PlanError, Unreachable where it was refused."""
    while line := answer.readline():
        told = cast("dict[str, Any]", json.loads(line))
        if "error" in told:
            refused = PlanError if answer.status == 400 else Unreachable
            raise refused(str(told["error"]))
        if told["type"] == "report":
            return told
        sys.stderr.write(_progress(told))
        sys.stderr.flush()
    message = "the local cloud broke off before its report"
    raise Unreachable(message)


def _progress(told: _Told) -> str:
    where = f"  {told['region']}" if told["region"] else ""
    if told["type"] == "begun":
        return f"seed {told['seed']}, for {told['for_s']:g} s{where}\n"
    at = f"{told['at_s']:7.1f} s{where}"
    if told["type"] == "counts":
        return f"{at}  {told['total']} done\n"
    return f"{at}  steps[{told['step']}] {told['fault']} {'on' if told['on'] else 'off'}\n"


def _describe(report: _Told) -> str:
    """What was done: a line for each step and each thing that it was done to."""
    lines: list[str] = []
    for part in cast("list[dict[str, Any]]", report["parts"]):
        where = f" in {part['region']}" if part["region"] else ""
        if "error" in part:
            lines.append(f"no report{where}: {part['error']}")
        for step in part["steps"]:
            seen = f" of {step['seen']}" if "seen" in step else ""
            lines.append(f"steps[{step['step']}] {step['fault']}{where}: {step['injected']}{seen}")
            lines += [f"    {count:6}  {target}" for target, count in step["targets"].items()]
    return "\n".join([*lines, "stopped before its end"] if report.get("stopped") else lines) + "\n"


# ---------------------------------------------------------------------- the proxy


def _run_proxy(options: argparse.Namespace) -> int:
    environ = os.environ  # noqa: TID251 - a runtime's, whose place this takes
    upstream = options.upstream or environ.get("AWS_LAMBDA_RUNTIME_API", "")
    host, _, port = upstream.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise PlanError(f"--upstream, or AWS_LAMBDA_RUNTIME_API: HOST:PORT, not {upstream!r}")
    settings = ProxySettings(
        upstream=upstream,
        plan=_read_file(options.plan, options.seed),
        function=options.function or environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        port=options.port,
        program=tuple(options.program),
        environ=environ,
    )
    with asyncio.Runner() as runner:
        return runner.run(run_proxy(settings))
