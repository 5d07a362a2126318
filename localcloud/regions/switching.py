"""Orders to `switch_region`, each to the Region that has to carry it out, in the local cloud or in AWS.

The Region that is to be home takes over where the home does not answer; where it does, the home hands over. So the
first question goes to the former, which says how the latter looks from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from localcloud.state import NotRunning, RunningState, read_state
from sluiceway import settings
from sluiceway.aws.functions import invoke
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured, Retryable

__all__ = ["LOCAL_KEYS", "Switch", "Told", "switch_in_aws", "switch_of"]

OUTPUT: Final = "SwitchRegionName"
PATIENCE_S: Final = 60.0  # the function's own time
LOCAL_KEYS: Final = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": ""}

Told: TypeAlias = Mapping[str, Any]
"""What the function answers: the term after it, and more by action; or `refused` (a reason) and `message`."""


class Switch:
    """The function of each Region. `functions` gives its name and the settings to reach it with, by Region.

    `usual` is the Region that is asked where none is named. Everything raises Misconfigured for a Region without one
    and for a function that fails, Retryable where no answer comes within 60 s, ServiceError where Lambda refuses.
    """

    def __init__(self, functions: Mapping[str, tuple[str, Mapping[str, str]]], *, usual: str) -> None:
        self._functions = functions
        self.usual = usual

    async def look(self, to: str = "") -> Told:
        """What speaks against handing over to `to`; without one, against its usual Region taking over."""
        looked = await self._ask(to or self.usual, {"action": "look"})
        if not to or "refused" in looked:
            return looked
        return await self._ask(_who(looked, to), {"action": "look", "to": to})

    async def approve(self, to: str, approval: str, *, force: bool = False) -> Told:
        """Hand over to `to`, on an approval of the term that is read now."""
        looked = await self._ask(to, {"action": "look"})
        if "refused" in looked:
            return looked
        order = {"action": "raise", "to": to, "approval": approval, "ends": looked["epoch"], "force": force}
        return await self._ask(_who(looked, to), order)

    async def survey(self, region: str = "") -> Told:
        """What a Region sees of the pair, beside the term."""
        return await self._ask(region or self.usual, {"action": "survey"})

    async def drill(self, region: str, approval: str, *, minutes: int) -> Told:
        """Let a Region say that it is unwell; `minutes` from 0, which ends it, to 1,440."""
        return await self._ask(region, {"action": "drill", "minutes": minutes, "approval": approval})

    async def _ask(self, region: str, order: Mapping[str, object]) -> Told:
        if region not in self._functions:
            raise Misconfigured(
                f"no switch_region of {region} is known; there are {', '.join(self._functions)}", what="--to"
            )
        name, environ = self._functions[region]
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        try:
            async with Wire.open(environ) as wire:
                answer = await invoke(wire, name, order, deadline=deadline)
        except Retryable as error:
            raise Retryable(f"{region} gave no answer: {error}") from error
        if answer.error:
            raise Misconfigured(f"switch_region in {region} failed: {answer.error}", what=name)
        return answer.payload


def _who(looked: Told, to: str) -> str:
    """The Region that hands over to `to`, or takes over for it."""
    is_well = looked["home"] != to and "home-is-well" in looked["readiness"]["against"]
    return str(looked["home"]) if is_well else to


def switch_of(state: RunningState) -> Switch:
    """The functions of a local cloud, of one Region or several. Raises NotRunning, Misconfigured."""
    clouds = {region: read_state(Path(folder)) for region, folder in state.regions.items()} or {state.region: state}
    for region, cloud in clouds.items():
        if OUTPUT not in cloud.outputs:
            raise Misconfigured(f"the stack in {region} has no output {OUTPUT}: is its RegionRole alone?", what=OUTPUT)
    functions = {
        region: (
            cloud.outputs[OUTPUT],
            {**LOCAL_KEYS, "AWS_REGION": region, "AWS_ENDPOINT_URL": cloud.endpoints["aws"]},
        )
        for region, cloud in clouds.items()
    }
    return Switch(functions, usual=list(clouds)[-1])


def switch_in_aws(name: str, regions: tuple[str, ...]) -> Switch:
    """Functions of one name, with the credentials and endpoint settings of this process. Raises NotRunning."""
    environ = settings.environ()
    usual = environ.get("AWS_REGION", "")
    named = regions or ((usual,) if usual else ())
    if not named:
        message = "say which Region's function to ask: set AWS_REGION, or name it"
        raise NotRunning(message)
    return Switch({region: (name, {**environ, "AWS_REGION": region}) for region in named}, usual=named[0])
