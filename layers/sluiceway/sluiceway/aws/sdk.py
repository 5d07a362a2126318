"""The long tail: any AWS operation through aioboto3, imported when it is first asked for.

It costs about half a second and 35 MB at the first call of an execution environment, so no hot path may lead here.
The `aws_sdk` layer carries it. It reads its own settings from the process environment, as every AWS SDK does.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sluiceway.errors import Misconfigured

__all__ = ["Sdk"]


class Sdk:
    """aioboto3 clients, one for each service, open until the lifespan ends."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._session: Any = None
        self._clients: dict[tuple[str, ...], Any] = {}
        self._lock = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncGenerator[Sdk]:
        """Nothing is imported or opened before the first `client`; all clients are closed on the way out."""
        async with AsyncExitStack() as stack:
            yield cls(stack)

    async def client(self, service: str, **options: str) -> Any:
        """The aioboto3 client of `service` (`secretsmanager`), made once; `options` are boto3's (`region_name`).

        Raises Misconfigured when aioboto3 is not installed: attach the `aws_sdk` layer.
        """
        key = (service, *(f"{name}={value}" for name, value in sorted(options.items())))
        async with self._lock:
            if key not in self._clients:
                session = self._session = self._session or _import_session()
                self._clients[key] = await self._stack.enter_async_context(session.client(service, **options))
            return self._clients[key]


def _import_session() -> Any:
    try:
        return importlib.import_module("aioboto3").Session()
    except ModuleNotFoundError as error:
        raise Misconfigured("aioboto3 is not installed: attach the aws_sdk layer", what="aws_sdk") from error
