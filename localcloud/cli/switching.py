"""`sluiceway regions approve|look|survey|drill`: a person's word to `switch_region`, in the local cloud or in AWS."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import redirect_stdout

from localcloud.cli.term_dates import tell_begin, tell_date
from localcloud.regions.switching import Switch, Told, switch_in_aws, switch_of
from localcloud.state import read_state
from sluiceway.errors import Misconfigured, SluicewayError
from sluiceway.ports import SystemClock

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """0 done; 1 refused or no answer; 2 called or set wrongly. Raises NotRunning."""
    try:
        with asyncio.Runner() as runner, redirect_stdout(sys.stderr):
            told = runner.run(_act(_open(options), options))
    except SluicewayError as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    if "refused" in told:
        sys.stderr.write(f"sluiceway: {told['refused']}: {told['message']}\n")
        return 1
    sys.stdout.write(json.dumps(told, indent=1) + "\n" if options.as_json else _describe(told))
    return 0


def _open(options: argparse.Namespace) -> Switch:
    if not options.function:
        return switch_of(read_state(options.state))
    named = getattr(options, "region", "") or options.to or ""
    others = tuple(name for name in (options.regions or "").split(",") if name and name != named)
    return switch_in_aws(options.function, ((named,) if named else ()) + others)


async def _act(switch: Switch, options: argparse.Namespace) -> Told:
    if options.action == "drill":
        return await switch.drill(options.region, options.approval, minutes=options.minutes)
    if options.action == "survey":
        return await switch.survey(options.to or "")
    if options.action == "look":
        return await switch.look(options.to or "")
    return await switch.approve(options.to, options.approval, force=options.force)


def _describe(told: Told) -> str:
    begin = tell_begin(told["begins_ms"], SystemClock().now_ms())
    lines = [f"group     {told['group']}", f"home      {told['home']}, epoch {told['epoch']}, {begin}"]
    lines.append(f"approval  {json.dumps(told['approval'])}")
    if "readiness" in told:
        found = told["readiness"]
        lines.append(f"against   {', '.join(found['against']) or 'nothing'}")
        if found["replicated_ms"] is not None:
            lines.append(f"marks     arrive after {found['replicated_ms']} ms")
        if found["parked"]:
            lines.append(f"parked    {found['parked']} keys")
    for part, found in told.get("survey", {}).items():
        lines.append(f"{part:<9} {json.dumps(found)}")
    if "drill_until_ms" in told:
        lines.append(f"drill     until {tell_date(told['drill_until_ms'])}")
    return "\n".join(lines) + "\n"
