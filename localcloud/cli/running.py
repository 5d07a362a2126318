"""Subcommands that talk to a local cloud that runs: down, status, logs, token, invoke."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from localcloud.caller import Unreachable
from localcloud.cli.invoke import invoke
from localcloud.clock import SystemClock
from localcloud.services.logs.files import LogTail
from localcloud.state import RunningState, is_running, read_state

__all__ = ["run"]

STOP_S: Final = 30.0  # a worker may hold its last invocation; past this it is killed
POLL_S: Final = 0.05


def run(options: argparse.Namespace) -> int:
    """Run the subcommand that was named. Raises NotRunning."""
    state = read_state(options.state)
    return _COMMANDS[options.command](options, state)


def _down(_options: argparse.Namespace, state: RunningState) -> int:
    os.kill(state.pid, signal.SIGTERM)
    ends = time.monotonic() + STOP_S
    while is_running(state.pid):
        if time.monotonic() > ends:
            os.kill(state.pid, signal.SIGKILL)
            sys.stderr.write(f"sluiceway: process {state.pid} did not stop in {STOP_S:.0f} s and was killed\n")
            return 1
        time.sleep(POLL_S)
    sys.stdout.write("stopped\n")
    return 0


def _status(options: argparse.Namespace, state: RunningState) -> int:
    known = state.known
    if options.endpoint:
        alike = [name for name in known if name.lower() == options.endpoint.lower()]
        if options.endpoint not in known and len(alike) != 1:
            sys.stderr.write(f"sluiceway: no endpoint or output {options.endpoint}; there are {', '.join(known)}\n")
            return 2
        sys.stdout.write(f"{known.get(options.endpoint) or known[alike[0]]}\n")
    elif options.as_json:
        sys.stdout.write(json.dumps(asdict(state), indent=1) + "\n")
    else:
        width = max(map(len, known))
        sys.stdout.write(f"ready: {state.template} in {state.region}, process {state.pid}\n")
        sys.stdout.writelines(f"  {name:<{width}}  {value}\n" for name, value in known.items())
    return 0


def _token(options: argparse.Namespace, state: RunningState) -> int:
    from localcloud.issuer import LocalIssuer  # noqa: PLC0415 - cryptography costs 0.1 s, only this command needs it

    try:
        token = LocalIssuer.open(Path(state.issuer or options.state)).token(
            subject=options.subject,
            audience=state.audience,
            minutes=options.minutes,
            clock=SystemClock(),
            claims=dict(map(_read_claim, options.claims)),
        )
    except ValueError as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2
    sys.stdout.write(f"{token}\n")
    return 0


def _read_claim(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        message = f"--claim is NAME=VALUE, not {text}"
        raise ValueError(message)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _logs(options: argparse.Namespace, state: RunningState) -> int:
    try:
        files = _find_logs(options.function, state)
    except Unreachable as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2
    labels = _labels(files, state.functions)
    tails = [(LogTail(path), label) for path, label in labels.items()]
    for tail, label in tails:
        sys.stdout.writelines(f"{label}{line}\n" for line in tail.last(options.lines))
    sys.stdout.flush()
    while options.follow:
        for tail, label in tails:
            sys.stdout.writelines(f"{label}{line}\n" for line in tail.news())
        sys.stdout.flush()
        time.sleep(POLL_S * 4)
    return 0


def _find_logs(name: str | None, state: RunningState) -> dict[Path, str]:
    """The log files, and whose they are: of one name, of every function without one. Raises Unreachable."""
    if name:
        return {Path(state.find_log(name)): name}
    return {Path(state.logs[each]): each for each in sorted(state.functions.values())}


def _labels(files: Mapping[Path, str], functions: Mapping[str, str]) -> dict[Path, str]:
    """What stands before a line of each file: the logical id of its function, nothing for one file alone."""
    if len(files) == 1:
        return dict.fromkeys(files, "")
    ids = {name: logical_id for logical_id, name in functions.items()}
    width = max((len(ids[name]) for name in files.values()), default=0)
    return {path: f"{ids[name]:<{width}}  " for path, name in files.items()}


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace, RunningState], int]]] = {
    "down": _down,
    "status": _status,
    "logs": _logs,
    "token": _token,
    "invoke": invoke,
}
