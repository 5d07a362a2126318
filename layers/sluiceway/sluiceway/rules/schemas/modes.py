"""The compatibility modes of the Glue Schema Registry: which versions of a schema must get along, decided here.

The registry's words: BACKWARD, whoever reads with the new version reads what was written with the one before;
FORWARD, whoever reads with the one before reads what is written with the new one; FULL, both; `_ALL`, with every
earlier version. NONE compares nothing, DISABLED takes no further version.
Source: https://docs.aws.amazon.com/glue/latest/dg/schema-registry.html#schema-registry-compatibility
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from sluiceway.rules.schemas.avro_compatibility import find_unread_avro
from sluiceway.rules.schemas.avro_schemas import read_avro_document
from sluiceway.rules.schemas.json_compatibility import find_unread
from sluiceway.rules.schemas.json_keywords import read_document

__all__ = ["FORMATS", "MODES", "DataFormat", "Mode", "Verdict", "compatible"]

Mode: TypeAlias = Literal["NONE", "DISABLED", "BACKWARD", "BACKWARD_ALL", "FORWARD", "FORWARD_ALL", "FULL", "FULL_ALL"]
DataFormat: TypeAlias = Literal["JSON", "AVRO"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
FORMATS: Final[tuple[DataFormat, ...]] = get_args(DataFormat)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons`: why a version may not follow the ones before; none where it may."""

    reasons: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the version may be registered."""
        return not self.reasons


def compatible(new: str, old: Sequence[str], mode: Mode, *, data_format: DataFormat) -> Verdict:
    """Whether the schema `new` may follow the versions `old`, the earliest first.

    What cannot be decided is a reason as well. Raises Misconfigured for a text that is no schema of that format.
    """
    if mode == "DISABLED" and old:
        return Verdict(("DISABLED takes no version after the first",))
    _read(new, data_format)
    if mode in {"NONE", "DISABLED"} or not old:
        return Verdict()
    earlier = old if mode.endswith("_ALL") else old[-1:]
    return Verdict(tuple(reason for each in earlier for reason in _compare(new, each, mode, data_format=data_format)))


def _compare(new: str, old: str, mode: Mode, *, data_format: DataFormat) -> Iterator[str]:
    kind = mode.removesuffix("_ALL")
    for direction, writer, reader in (("BACKWARD", old, new), ("FORWARD", new, old)):
        if kind in {direction, "FULL"}:
            reason = _find(writer, reader, data_format)
            if reason:
                yield f"{direction}: {reason}"


def _find(writer: str, reader: str, data_format: DataFormat) -> str:
    if data_format == "AVRO":
        return find_unread_avro(read_avro_document(writer, "schema"), read_avro_document(reader, "schema"))
    return find_unread(read_document(writer, "schema"), read_document(reader, "schema"))


def _read(text: str, data_format: DataFormat) -> None:
    if data_format == "AVRO":
        read_avro_document(text, "schema")
    else:
        read_document(text, "schema")
