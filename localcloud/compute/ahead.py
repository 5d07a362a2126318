"""What functions require is installed side by side, before the first resource of a stack is made.

Resources are made one after another; pip takes seconds for each. Knows builds and resources; makes no resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource
from sluiceway.errors import Misconfigured

__all__ = ["MAX_AT_ONCE", "run_side_by_side"]

MAX_AT_ONCE: Final = 4  # ours; pip keeps a core busy while it unpacks, and waits for the network before


async def run_side_by_side(resources: Sequence[Resource], work: Callable[[Resource], None], *, place: str) -> None:
    """`work(resource)` for each, in threads of their own, at most four at a time.

    Raises TemplateError at `place` of the first resource whose work raises Misconfigured, once the others have ended.
    """
    turns = asyncio.Semaphore(MAX_AT_ONCE)
    failed: dict[str, Misconfigured] = {}

    async def run(resource: Resource) -> None:
        async with turns:
            try:
                await asyncio.to_thread(work, resource)
            except Misconfigured as error:
                failed[resource.logical_id] = error

    async with asyncio.TaskGroup() as group:
        for resource in resources:
            group.create_task(run(resource))
    for resource in resources:
        if error := failed.get(resource.logical_id):
            where = f"Resources.{resource.logical_id}.Properties.{place}"
            raise TemplateError(str(error), where=where) from error
