"""The same as an official client can run it: a loop for each invocation."""

import asyncio
from typing import Any


async def work() -> dict[str, Any]:
    return {"batchItemFailures": []}


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    return asyncio.run(work())
