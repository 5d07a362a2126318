"""`sluiceway regions rehearse`: a pair loses its home under load, moves on approval, and moves back; all is counted."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict

from localcloud.regions.rehearsal.load import Load
from localcloud.regions.rehearsal.run import Plan, Report, rehearse
from localcloud.regions.rehearsal.story import Broken, Step
from localcloud.state import RunningState, read_state
from sluiceway.errors import SluicewayError

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """0 where it went as it should; 1 where it did not; 2 for a cloud of one Region, or without the name.

    Raises NotRunning.
    """
    host = read_state(options.state)
    if wrong := _explain(host, options.name):
        sys.stderr.write(f"sluiceway: {wrong}\n")
        return 2
    plan = Plan(options.requests, options.rate, options.name, options.group)
    report: Report | None = None
    try:
        with asyncio.Runner() as runner, redirect_stdout(sys.stderr):
            report = runner.run(rehearse(host, plan, tell=_tell, look=_look))
    except* (Broken, SluicewayError) as group:
        sys.stderr.write(f"\nsluiceway: {'; '.join(str(error) for error in group.exceptions)}\n")
    if report is None:
        return 1
    sys.stdout.write(json.dumps(_to_json(report), indent=1) + "\n" if options.as_json else _describe(report))
    return 0 if report.is_right else 1


def _explain(host: RunningState, name: str) -> str:
    if len(host.regions) != 2:
        return "a rehearsal is for a pair: start one with `sluiceway up --regions A,B`"
    if name not in host.endpoints:
        return f"nothing answers by the name {name} here; there are {', '.join(host.endpoints)}"
    return ""


def _tell(step: Step) -> None:
    sys.stderr.write(f"\r{step.at_s:7.1f} s  {step.name:<56} {step.after_s:6.1f} s\n")
    sys.stderr.flush()


def _look(load: Load) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{load.begun} of {len(load.asks)} requests begun, {load.done} known ")
        sys.stderr.flush()


def _to_json(report: Report) -> dict[str, object]:
    return {
        "steps": [asdict(step) for step in report.steps],
        "counts": report.counts._asdict(),
        "answers": dict(report.answers.most_common()),
        "recovery": {**report.recovery._asdict(), "is_in_time": report.recovery.is_in_time},
        "is_right": report.is_right,
    }


def _describe(report: Report) -> str:
    counts = report.counts
    lines = [f"{step.at_s:7.1f} s  {step.name:<56} {step.after_s:6.1f} s" for step in report.steps]
    lines += [
        "",
        f"recovered in {report.recovery.took_s:.0f} s and an approval; {report.recovery.allowed_s:.0f} s are allowed",
        f"stored {counts.stored}, in doubt {counts.in_doubt}, refused {counts.refused}",
        f"twice {counts.twice}, lost {counts.lost}, in doubt unlisted {counts.unlisted}, unknown {counts.unknown}",
        *(f"  {times:>6}  {answer}" for answer, times in report.answers.most_common()),
    ]
    return "\n".join(lines) + "\n"
