"""A story in parts, each sent as soon as it is told."""

import asyncio
from urllib.parse import unquote

from sluiceway.events.stream import HttpStream


async def tell(event, context):
    hero = unquote(event["rawPath"].strip("/")) or "nobody"
    method = event["requestContext"]["http"]["method"]
    if method != "GET":
        return HttpStream(_only(f"{method} is not told\n"), status=405)
    return HttpStream(_story(hero), headers={"content-type": "text/event-stream"}, cookies=(f"hero={hero}",))


async def _only(text):
    yield text


async def _story(hero):
    for part in (f"once upon a time there was {hero}", "the end"):
        yield f"data: {part}\n\n"
        await asyncio.sleep(0.2)
