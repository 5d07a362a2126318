"""DynamoDB as one cloud has it: its own, or the one that it shares with other Regions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from localcloud.clock import Clock
from localcloud.options import CloudOptions
from localcloud.parts.delegated import Lazily
from localcloud.services.contract import Elsewhere, Service
from localcloud.template.errors import TemplateError
from localcloud.template.handler import ResourceHandler

if TYPE_CHECKING:
    from localcloud.compute.stream_source import StreamSource
    from localcloud.services.dynamodb.model import Database
    from localcloud.services.dynamodb.wire import DynamoService
    from localcloud.services.iam.policy import Document

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

    def policy_of(self, arn: str) -> Document | None:
        """The resource policy of a table or index, None where it has none."""
        ...

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:
        """The tags of a table, for its indexes as well; None where there is none."""
        ...

    async def run(self) -> None:
        """Its background work, until cancelled."""
        ...


class OwnTables:
    """Of one Region's cloud alone; opened when a call or a resource first needs it."""

    elsewhere: Elsewhere | None = None

    def __init__(self, load: Callable[[], DynamoService], *, keeps: bool) -> None:
        self._load = load
        self._keeps = keeps
        self._opened = asyncio.Event()
        self.service = Lazily("dynamodb", self._open)

    @property
    def dynamodb(self) -> DynamoService:
        """The service itself, opened now where it was not yet."""
        return cast("DynamoService", self.service.service)

    @property
    def handlers(self) -> tuple[ResourceHandler, ...]:
        """Those of tables."""
        return table_handlers(self.dynamodb, keeps=self._keeps)

    def open_stream(self, arn: str) -> StreamSource:
        """The stream with `arn`."""
        from localcloud.compute.source_dynamodb import DynamoSource  # noqa: PLC0415 - few stacks read streams

        return DynamoSource(self.dynamodb, arn)

    def policy_of(self, arn: str) -> Document | None:
        """The resource policy of a table or index, None where it has none."""
        return self.dynamodb.policy_of(arn) if self._opened.is_set() else None

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:
        """The tags of a table, for its indexes as well; None where there is none."""
        return self.dynamodb.tags_of(action, arn) if self._opened.is_set() else None

    async def run(self) -> None:
        """Delete expired items, until cancelled."""
        await self._opened.wait()
        await self.dynamodb.run()

    def close(self) -> None:
        """Close what was opened."""
        if self._opened.is_set():
            self.dynamodb.close()

    def _open(self) -> DynamoService:
        opened = self._load()
        self._opened.set()
        return opened


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

    def policy_of(self, arn: str) -> None:
        """None: where Regions share a cloud, tables have no resource policies."""

    def tags_of(self, action: str, arn: str) -> None:
        """None: the host has the tags, and its own IAM does not ask."""

    async def run(self) -> None:
        """Nothing: the host has the background work."""
        await asyncio.Event().wait()


async def open_tables(
    options: CloudOptions, *, clock: Clock, rng: random.Random, cleanup: AsyncExitStack
) -> OwnTables | SharedTables:
    """DynamoDB as the options say; `cleanup` closes it. Raises KeptStateUnusable."""
    if options.joins:
        return await _join(options, cleanup)

    def load() -> DynamoService:
        from localcloud.services.dynamodb.store import Store  # noqa: PLC0415 - few stacks have tables
        from localcloud.services.dynamodb.wire import DynamoService  # noqa: PLC0415 - likewise

        store = Store(options.persist) if options.persist else None
        return DynamoService(clock, store=store, randomness=rng)

    tables = OwnTables(load, keeps=options.persist is not None)
    cleanup.callback(tables.close)
    if options.persist is not None:
        _ = tables.dynamodb  # what was kept must be readable now
    return tables


async def _join(options: CloudOptions, cleanup: AsyncExitStack) -> SharedTables:
    from aiohttp import ClientSession  # noqa: PLC0415 - of several Regions alone, as the others here

    from localcloud.regions.forward import open_forwarder  # noqa: PLC0415
    from localcloud.regions.joined import Beyond, SharedService  # noqa: PLC0415
    from localcloud.regions.sharing import SharedHandler  # noqa: PLC0415
    from localcloud.services.dynamodb.wire import read_needs  # noqa: PLC0415

    keeps = options.persist is not None
    forwarder = await cleanup.enter_async_context(open_forwarder(options.region))
    session = await cleanup.enter_async_context(ClientSession())
    beyond = Beyond(forwarder, options.joins, options.region)
    handlers = table_handlers(None, keeps=keeps)
    return SharedTables(
        SharedService("dynamodb", read_needs, beyond),
        tuple(SharedHandler(handler, session, options.joins) for handler in handlers),
        beyond,
    )


def table_handlers(service: DynamoService | None, *, keeps: bool) -> tuple[ResourceHandler, ...]:
    """The handlers that make tables in `service`; without one, they only say what is served."""
    from localcloud.services.dynamodb.global_resources import GlobalTableHandler  # noqa: PLC0415 - few stacks have one
    from localcloud.services.dynamodb.resources import TableHandler  # noqa: PLC0415 - likewise

    databases = service.database if service is not None else _nowhere
    holds = service is not None and service.holds_policies
    return TableHandler(databases, keeps=keeps, holds_policies=holds), GlobalTableHandler(databases, keeps=keeps)


def _nowhere(region: str) -> Database:
    message = f"the host has the tables of {region}"
    raise RuntimeError(message)
