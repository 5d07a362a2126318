"""An `async` function that does nothing: what remains is the interpreter, the runtime client and its loop."""

from typing import Any


async def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    return {"batchItemFailures": []}
