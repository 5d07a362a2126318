"""`sluiceway regions approve|look|drill`: a person's word to `switch_region`, in the local cloud or in AWS.

Owns which Region is asked. The Region that is to be home takes over where the home does not answer; where it does, the
home hands over. So the first question goes to the former, which says how the latter looks from there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final, NamedTuple

from localcloud.state import NotRunning, RunningState, read_state
from sluiceway import settings
from sluiceway.aws.functions import invoke
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured, SluicewayError

__all__ = ["run"]

OUTPUT: Final = "SwitchRegionName"
PATIENCE_S: Final = 60.0  # the function's own time
_LOCAL: Final = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": ""}


class _Way(NamedTuple):
    """How a Region's function is reached."""

    environ: Mapping[str, str]
    function: str


def run(options: argparse.Namespace) -> int:
    """0 done; 1 refused or no answer; 2 called or set wrongly. Raises NotRunning."""
    try:
        with asyncio.Runner() as runner, redirect_stdout(sys.stderr):
            told = runner.run(_act(options))
    except SluicewayError as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    if "refused" in told:
        sys.stderr.write(f"sluiceway: {told['refused']}: {told['message']}\n")
        return 1
    sys.stdout.write(json.dumps(told, indent=1) + "\n" if getattr(options, "as_json", False) else _describe(told))
    return 0


async def _act(options: argparse.Namespace) -> Mapping[str, Any]:
    if options.action == "drill":
        order = {"action": "drill", "minutes": options.minutes, "approval": options.approval}
        return await _ask(options, options.region, order)
    to = options.to or _any_region(options)
    looked = await _ask(options, to, {"action": "look"})
    if "refused" in looked or (options.action == "look" and not options.to):
        return looked
    at = to if looked["home"] == to or "home-is-well" not in looked["readiness"]["against"] else str(looked["home"])
    if options.action == "look":
        return await _ask(options, at, {"action": "look", "to": to})
    order = {"action": "raise", "to": to, "approval": options.approval, "ends": looked["epoch"]}
    return await _ask(options, at, {**order, "force": options.force})


async def _ask(options: argparse.Namespace, region: str, order: Mapping[str, object]) -> Mapping[str, Any]:
    """What the function of `region` answers. Raises Misconfigured, ServiceError."""
    way = _way_to(options, region)
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    async with Wire.open(way.environ) as wire:
        answer = await invoke(wire, way.function, order, deadline=deadline)
    if answer.error:
        raise Misconfigured(f"switch_region in {region} failed: {answer.error}", what=way.function)
    return answer.payload


def _way_to(options: argparse.Namespace, region: str) -> _Way:
    environ = {**settings.environ(), "AWS_REGION": region}
    if options.function:
        return _Way(environ, options.function)
    state = _state_of(options.state, region)
    if OUTPUT not in state.outputs:
        raise Misconfigured(f"the stack in {region} has no output {OUTPUT}: its RegionRole is alone", what="RegionRole")
    return _Way({**environ, **_LOCAL, "AWS_ENDPOINT_URL": state.endpoints["aws"]}, state.outputs[OUTPUT])


def _state_of(folder: Path, region: str) -> RunningState:
    """The local cloud of a Region. Raises NotRunning, Misconfigured."""
    state = read_state(folder)
    if state.regions and region not in state.regions:
        raise Misconfigured(f"no cloud of {region} runs here; there are {', '.join(state.regions)}", what="--to")
    if not state.regions and state.region != region:
        message = f"no cloud of {region} runs here; start several with `sluiceway up --regions A,B`"
        raise NotRunning(message)
    return read_state(Path(state.regions[region])) if state.regions else state


def _any_region(options: argparse.Namespace) -> str:
    """Whom to ask where nobody was named: this Region in AWS, the last one in the local cloud."""
    if options.function:
        return settings.environ().get("AWS_REGION", "") or "us-east-1"
    state = read_state(options.state)
    return list(state.regions)[-1] if state.regions else state.region


def _describe(told: Mapping[str, Any]) -> str:
    lines = [f"group     {told['group']}", f"home      {told['home']}, epoch {told['epoch']}"]
    lines.append(f"approval  {json.dumps(told['approval'])}")
    if "readiness" in told:
        found = told["readiness"]
        lines.append(f"against   {', '.join(found['against']) or 'nothing'}")
        if found["replicated_ms"] is not None:
            lines.append(f"marks     arrive after {found['replicated_ms']} ms")
        if found["parked"]:
            lines.append(f"parked    {found['parked']} keys")
    if "drill_until_ms" in told:
        lines.append(f"drill     until {told['drill_until_ms']}")
    return "\n".join(lines) + "\n"
