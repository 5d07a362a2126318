"""DynamoDB as one cloud has it: its own, or the one that it shares with other Regions."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NoReturn, Protocol

from aiohttp import ClientSession

from localcloud.clock import Clock
from localcloud.compute.source_dynamodb import DynamoSource
from localcloud.compute.stream_source import StreamSource
from localcloud.options import CloudOptions
from localcloud.regions.forward import open_forwarder
from localcloud.regions.joined import Beyond, SharedService
from localcloud.regions.sharing import SharedHandler
from localcloud.services.contract import Elsewhere, Service
from localcloud.services.dynamodb.global_resources import GlobalTableHandler
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.resources import TableHandler
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService, read_needs
from localcloud.template.errors import TemplateError
from localcloud.template.handler import ResourceHandler

__all__ = ["OwnTables", "SharedTables", "Tables", "open_tables", "table_handlers"]


class Tables(Protocol):
    """DynamoDB for the front, for resources, and for event source mappings. `elsewhere`: the other Regions, if any."""

    @property
    def service(self) -> Service: ...
    @property
    def handlers(self) -> tuple[ResourceHandler, ...]: ...
    @property
    def elsewhere(self) -> Elsewhere | None: ...

    def open_stream(self, arn: str) -> StreamSource:
        """The stream with `arn`. Raises TemplateError where it cannot be read here."""
        ...

    async def run(self) -> None:
        """Its background work, until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class OwnTables:
    """Of one Region's cloud alone."""

    service: DynamoService
    handlers: tuple[ResourceHandler, ...]
    elsewhere: Elsewhere | None = None

    def open_stream(self, arn: str) -> StreamSource:
        """The stream with `arn`."""
        return DynamoSource(self.service, arn)

    async def run(self) -> None:
        """Delete expired items, until cancelled."""
        await self.service.run()


@dataclass(frozen=True, slots=True)
class SharedTables:
    """Of several Regions, held by their host."""

    service: Service
    handlers: tuple[ResourceHandler, ...]
    elsewhere: Elsewhere

    def open_stream(self, arn: str) -> NoReturn:
        """Raises TemplateError: the host has the streams."""
        reason = "an event source mapping of a DynamoDB stream is not served where Regions share a cloud"
        raise TemplateError(reason, where=arn)

    async def run(self) -> None:
        """Nothing: the host has the background work."""
        await asyncio.Event().wait()


async def open_tables(
    options: CloudOptions, *, clock: Clock, rng: random.Random, cleanup: AsyncExitStack
) -> OwnTables | SharedTables:
    """DynamoDB as the options say; `cleanup` closes it. Raises KeptStateUnusable."""
    keeps = options.persist is not None
    if options.joins:
        forwarder = await cleanup.enter_async_context(open_forwarder(options.region))
        session = await cleanup.enter_async_context(ClientSession())
        beyond = Beyond(forwarder, options.joins, options.region)
        handlers = table_handlers(None, keeps=keeps)
        return SharedTables(
            SharedService("dynamodb", read_needs, beyond),
            tuple(SharedHandler(handler, session, options.joins) for handler in handlers),
            beyond,
        )
    store = Store(options.persist) if options.persist else None
    service = DynamoService(clock, store=store, randomness=rng)
    cleanup.callback(service.close)
    return OwnTables(service, table_handlers(service, keeps=keeps))


def table_handlers(service: DynamoService | None, *, keeps: bool) -> tuple[ResourceHandler, ...]:
    """The handlers that make tables in `service`; without one, they only say what is served."""
    databases = service.database if service is not None else _nowhere
    return TableHandler(databases, keeps=keeps), GlobalTableHandler(databases, keeps=keeps)


def _nowhere(region: str) -> Database:
    message = f"the host has the tables of {region}"
    raise RuntimeError(message)
