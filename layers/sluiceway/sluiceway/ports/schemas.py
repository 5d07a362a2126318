"""The port of schema registries: versions of schemas by their id, and the id of a version by its text.

What an id names never changes. Must not know frames, nor which version may follow which.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol
from uuid import UUID

__all__ = ["SchemaName", "SchemaRegistry", "SchemaVersion"]


class SchemaName(NamedTuple):
    """A schema of a registry."""

    registry: str
    schema: str


class SchemaVersion(NamedTuple):
    """One version. `data_format`: `JSON`, `AVRO` or `PROTOBUF`; `definition`: the schema's text."""

    version_id: UUID
    data_format: str
    definition: str


class SchemaRegistry(Protocol):
    """A registry. `deadline` is on the event loop's clock. Everything raises `Retryable` and `Misconfigured` too."""

    async def find_version(self, version_id: UUID, *, deadline: float | None = None) -> SchemaVersion | None:
        """The version that wrote a record; None where no version that may be used has this id."""
        ...

    async def find_id(self, name: SchemaName, definition: str, *, deadline: float | None = None) -> UUID | None:
        """The id of the version with this text; None where the schema has none that may be used."""
        ...

    async def register(self, name: SchemaName, definition: str, *, deadline: float | None = None) -> UUID:
        """The id of the version with this text, which is registered where it is new.

        Raises Rejected: `schema-incompatible` where the registry does not let it follow the versions before.
        """
        ...
