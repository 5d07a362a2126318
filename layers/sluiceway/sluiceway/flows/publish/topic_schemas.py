"""The schemas that a deployment names for its topics: a setting and files become each topic's `Check`.

Owns the form of the setting and where its files may lie: beside the function, or in a layer. Must not know streams or
HTTP. Read once, at init: what is wrong fails there and names the setting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, cast
from uuid import UUID

from sluiceway.errors import Misconfigured
from sluiceway.flows.publish.schemas import RecordSchema, check_by
from sluiceway.rules.publishing import Check

__all__ = ["read_checks"]

LAYERS: Final = "/opt"  # https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
_MEMBERS: Final = {"file", "format", "version_id"}


def read_checks(
    declared: Mapping[str, object], topics: Collection[str], what: str, *, beside: str, layers: str = LAYERS
) -> dict[str, Check]:
    """The checks of the topics that `declared` names: `{"<topic>": {"file", "format", "version_id"?}}`.

    `file` is a path from the folder of `beside`, the function's own file, or an absolute one within `layers`. `format`
    is JSON or AVRO. `version_id`, of the schema in the Glue Schema Registry, frames each record; AVRO needs it.

    Raises Misconfigured that names `what`: no such topic, file or format, or a schema that is none.
    """
    checks: dict[str, Check] = {}
    for topic, entry in declared.items():
        if topic not in topics:
            raise Misconfigured(f"{what}: {topic[:64]!r} is no topic", what=what)
        try:
            checks[topic] = _read_check(entry, Path(beside).parent, layers)
        except Misconfigured as error:
            raise Misconfigured(f"{what}: {topic}: {error}", what=what) from error
    return checks


def _read_check(entry: object, folder: Path, layers: str) -> Check:
    if not isinstance(entry, dict):
        raise _fault("must be an object with file and format")
    members = cast("Mapping[str, object]", entry)
    if others := sorted(set(members) - _MEMBERS):
        raise _fault(f"there is no {others[0][:64]!r}, only file, format and version_id")
    name = members.get("file")
    version_id = _read_version_id(members["version_id"]) if "version_id" in members else None
    data_format = members.get("format")
    if data_format not in ("JSON", "AVRO"):  # of whatever kind: a set would need it hashable
        raise _fault("format is JSON or AVRO")
    if data_format == "AVRO" and version_id is None:
        raise _fault("AVRO needs a version_id: nobody can read a record of it without knowing the schema")
    return check_by(_read_schema(_find(name, folder, layers), data_format), version_id)


def _read_schema(path: Path, data_format: object) -> RecordSchema:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # a ValueError: no UTF-8
        raise _fault(f"{path}: cannot be read") from error
    if data_format == "AVRO":
        from sluiceway.rules.schemas.avro_schemas import AvroSchema  # noqa: PLC0415 - a function has one, if any

        return AvroSchema(text, what=str(path))
    from sluiceway.rules.schemas.json_schemas import JsonSchema  # noqa: PLC0415 - the same

    return JsonSchema(text, what=str(path))


def _find(name: object, folder: Path, layers: str) -> Path:
    path = PurePosixPath(name) if isinstance(name, str) and name and "\0" not in name else None
    if path is None or ".." in path.parts or (path.is_absolute() and not path.is_relative_to(layers)):
        raise _fault(f"file is a path from the function's folder, or one within {layers}")
    return folder / path  # an absolute one stays as it is


def _read_version_id(sent: object) -> UUID:
    try:
        found = UUID(sent) if isinstance(sent, str) else None
    except ValueError:
        found = None
    if found is None or str(found) != str(sent).lower():
        raise _fault("version_id is the UUID of a version in the Glue Schema Registry")
    return found


def _fault(why: str) -> Misconfigured:
    return Misconfigured(why, what="schema")
