"""The check of a topic that has a schema: what goes into the stream is what the schema takes, framed where it is known.

Owns how a schema becomes a topic's `Check`. Must not know how a schema is written down or where it is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sluiceway.codec import glue
from sluiceway.rules.publishing import Check

__all__ = ["RecordSchema", "check_by"]


class RecordSchema(Protocol):
    """A schema that makes bytes of records: `JsonSchema` or `AvroSchema`."""

    def encode(self, topic: str, data: Mapping[str, object]) -> bytes:
        """The bytes of a record. Raises Rejected with the path within the data."""
        ...


def check_by(schema: RecordSchema, version_id: UUID | None = None, *, compress: bool = False) -> Check:
    """The `Check` of a topic with this schema.

    `version_id`: of the schema in the Glue Schema Registry, which puts its header before each record; readers must then
    open frames. None for bare records, as the project's own filters and subscriptions read them. `compress`: deflate
    what is framed.
    """
    if version_id is None:
        return schema.encode

    def check(topic: str, data: Mapping[str, object]) -> bytes:
        return glue.write_frame(version_id, schema.encode(topic, data), compress=compress)

    return check
