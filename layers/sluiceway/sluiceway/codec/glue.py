"""Payloads framed for the Glue Schema Registry: which version of a schema wrote them, and whether they are compressed.

    byte 0      3, the version of the header
    byte 1      0: as it is, 5: compressed, in zlib's format (RFC 1950)
    bytes 2-17  UUID of the schema version, big-endian
    then        the payload

Two fixed bits of a header are too few to tell a damaged frame from a payload that has none: whoever reads a stream of
both asks `is_framed` first, and everybody else gets an error. Must not know schemas, nor how they are fetched; what a
version id names never changes.
Source: https://github.com/awslabs/aws-glue-schema-registry (GlueSchemaRegistryDeserializerDataParser)
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple
from uuid import UUID

from sluiceway.errors import Rejected

__all__ = ["Frame", "is_framed", "read_frame", "write_frame"]

MAX_BYTES: Final = 10 * 1024 * 1024  # of a payload: as much as the largest record, before it was compressed
_HEADER_VERSION: Final = 3
_PLAIN: Final = 0
_ZLIB: Final = 5
_HEADER_BYTES: Final = 18


class Frame(NamedTuple):
    """A payload and the id of the schema version that wrote it."""

    version_id: UUID
    payload: bytes


def is_framed(data: bytes | memoryview) -> bool:
    """Whether `data` begins with a header, as the registry's own libraries decide; `read_frame` may refuse the rest."""
    return len(data) >= _HEADER_BYTES and data[0] == _HEADER_VERSION and data[1] in {_PLAIN, _ZLIB}


def read_frame(data: bytes | memoryview, *, max_bytes: int = MAX_BYTES) -> Frame:
    """The frame in the data of a record. `max_bytes`: the largest payload, inflated; nothing beyond it is inflated.

    Raises: Rejected, `reason` one of `glue-not-framed` (another first byte), `glue-truncated` (less than a header),
    `glue-compression` (a compression that there is not), `glue-inflate` (no whole zlib stream), `glue-trailing` (bytes
    behind it), `glue-too-large`. The message repeats nothing of the payload.
    """
    if not data or data[0] != _HEADER_VERSION:
        raise _refused("is none of the schema registry's", reason="glue-not-framed", field="header")
    if len(data) < _HEADER_BYTES:
        raise _refused(f"is shorter than its header, {_HEADER_BYTES} bytes", reason="glue-truncated", field="header")
    compression = data[1]
    version_id = UUID(bytes=bytes(data[2:_HEADER_BYTES]))
    if compression == _ZLIB:
        return Frame(version_id, _inflate(data[_HEADER_BYTES:], max_bytes))
    if compression != _PLAIN:
        raise _refused(f"names compression {compression}", reason="glue-compression", field="compression")
    if len(data) - _HEADER_BYTES > max_bytes:
        raise _refused(f"is more than {max_bytes} bytes", reason="glue-too-large", field="payload")
    return Frame(version_id, bytes(data[_HEADER_BYTES:]))


def write_frame(version_id: UUID, payload: bytes, *, compress: bool = False) -> bytes:
    """The bytes that `read_frame` reads, and the registry's libraries."""
    header = bytes((_HEADER_VERSION, _ZLIB if compress else _PLAIN)) + version_id.bytes
    return header + (zlib.compress(payload) if compress else payload)


def _inflate(compressed: bytes | memoryview, most: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        payload = inflater.decompress(compressed, most + 1)
    except zlib.error:
        raise _refused("is no zlib stream", reason="glue-inflate", field="payload") from None
    if len(payload) > most:
        raise _refused(f"is more than {most} bytes, inflated", reason="glue-too-large", field="payload")
    if not inflater.eof:
        raise _refused("is a zlib stream without its end", reason="glue-inflate", field="payload")
    if inflater.unused_data:
        raise _refused("has bytes behind its zlib stream", reason="glue-trailing", field="payload")
    return payload


def _refused(problem: str, *, reason: str, field: str) -> Rejected:
    return Rejected(f"the frame's {field} {problem}", reason=reason, field=field)
