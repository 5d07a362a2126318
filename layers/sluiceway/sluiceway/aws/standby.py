"""Event source mappings and schedules that rest in a standby: looked at, then started or stopped.

Owns the requests. Each part is looked at first, for a change that changes nothing starts a mapping's pollers anew.
Sources: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html and
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_EnableRule.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

from sluiceway.aws.events import EVENTS
from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.errors import SluicewayError

__all__ = ["AwsWorkload"]

WITHIN_S: Final = 10.0  # all of it, looks and changes
_RUNNING: Final = frozenset({"Enabled", "Enabling", "Creating"})
_RESTING: Final = frozenset({"Disabled", "Disabling", "Deleting"})


class AwsWorkload:
    """`mappings` by their ids (UUID), `rules` by their names, on the default event bus. Raises what `Caller` raises.

    A mapping that is being changed is refused by Lambda (`ResourceInUseException`), and can be said again later.
    """

    def __init__(self, caller: Caller, *, mappings: Sequence[str] = (), rules: Sequence[str] = ()) -> None:
        self._caller = caller
        self._mappings = tuple(mappings)
        self._rules = tuple(rules)

    async def run(self, *, is_running: bool) -> int:
        """As `Workload.run`: within 10 s; of several errors the first is raised."""
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        async with asyncio.TaskGroup() as group:
            tasks = [
                *(
                    group.create_task(_try(self._run_mapping(name, deadline, is_running=is_running)))
                    for name in self._mappings
                ),
                *(
                    group.create_task(_try(self._run_rule(name, deadline, is_running=is_running)))
                    for name in self._rules
                ),
            ]
        found = [task.result() for task in tasks]
        for error in found:
            if isinstance(error, SluicewayError):
                raise error
        return sum(change is True for change in found)

    async def _run_mapping(self, name: str, deadline: float, *, is_running: bool) -> bool:
        path, call = f"/2015-03-31/event-source-mappings/{encode_label(name)}", self._caller.call
        reply = await call(LAMBDA, "GetEventSourceMapping", path=path, method="GET", deadline=deadline)
        if reply.json().get("State") in (_RUNNING if is_running else _RESTING):
            return False
        change = {"Enabled": is_running}
        await call(LAMBDA, "UpdateEventSourceMapping", change, path=path, method="PUT", deadline=deadline)
        return True

    async def _run_rule(self, name: str, deadline: float, *, is_running: bool) -> bool:
        reply = await self._caller.call(EVENTS, "DescribeRule", {"Name": name}, deadline=deadline)
        if (reply.json().get("State") == "ENABLED") is is_running:
            return False
        change = "EnableRule" if is_running else "DisableRule"
        await self._caller.call(EVENTS, change, {"Name": name}, deadline=deadline)
        return True


async def _try(change: Awaitable[bool]) -> bool | SluicewayError:
    """Whether it was changed, or why not: one part that cannot be started does not keep the others from it."""
    try:
        return await change
    except SluicewayError as error:
        return error
