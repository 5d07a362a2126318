"""The AWS port by TLS, for stacks whose functions are given addresses that begin with `https://`.

Custom resources have ResponseURL, handlers of WebSocket APIs build `https://<domainName>/<stage>`: both lead here.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.http_server import Servers
from localcloud.parts.ports import Sockets
from localcloud.secure import read_trust
from localcloud.template.handler import CUSTOM_RESOURCE, NESTED_STACK
from localcloud.template.stack import Stack

__all__ = ["serve_secured"]

_API: Final = "AWS::ApiGatewayV2::Api"


@asynccontextmanager
async def serve_secured(
    stack: Stack | None, front: Front, cache: Path, *, sockets: Sockets, among: Servers
) -> AsyncGenerator[Path | None]:
    """Let `front` answer by TLS as well while the block lasts, where the stack needs it.

    Gives the roots that functions have to trust, None where nothing is served.
    """
    nodes = () if stack is None else stack.graph.nodes.values()
    if not any(_needs(node.type, node.properties.get("ProtocolType")) for node in nodes):
        yield None
        return
    now = dt.datetime.fromtimestamp(SystemClock().time(), dt.UTC)  # what functions hold certificates to
    trust = await asyncio.to_thread(read_trust, cache, now=now)
    with closing(sockets.take_anywhere()) as listener:
        async with front.serve(listener, among=among, tls=trust.context()) as front.secured:
            yield trust.bundle


def _needs(kind: str, protocol: object) -> bool:
    """Whether functions of a resource may be given such an address; a nested stack may have any."""
    custom = kind in {CUSTOM_RESOURCE, NESTED_STACK} or kind.startswith("Custom::")
    return custom or (kind == _API and protocol != "HTTP")
