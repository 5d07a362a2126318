"""What is wrong with the fields of a Map: its mode, and what belongs to the distributed mode only. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from localcloud.services.states.fields import template_problems
from localcloud.services.states.queries import expression_of
from localcloud.services.states.rules import Problem

__all__ = ["READERS", "check_map", "is_distributed"]

READERS: Final = ("CSV", "JSON", "JSONL")
_GET: Final = "arn:aws:states:::s3:getObject"
_LIST: Final = "arn:aws:states:::s3:listObjectsV2"
_PUT: Final = "arn:aws:states:::s3:putObject"
_DISTRIBUTED: Final = (
    "ItemBatcher", "ItemReader", "Label", "ResultWriter", "ToleratedFailureCount", "ToleratedFailureCountPath",
    "ToleratedFailurePercentage", "ToleratedFailurePercentagePath",
)  # fmt: skip
_READER: Final = frozenset({"Parameters", "ReaderConfig", "Resource"})
_READER_CONFIG: Final = frozenset(
    {"CSVDelimiter", "CSVHeaderLocation", "CSVHeaders", "InputType", "ItemsPointer", "MaxItems", "MaxItemsPath"}
)
# tuples, for what stands there may be anything, and a set asks for its hash
_SOURCES: Final = (_GET, _LIST)
_MODES: Final = ("DISTRIBUTED", "INLINE")
_TYPES: Final = ("EXPRESS", "STANDARD")
_NOT_SERVED: Final = ("MANIFEST", "PARQUET")
_HEADERS: Final = ("FIRST_ROW", "GIVEN")
_DELIMITERS: Final = ("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")
_BATCHER: Final = frozenset(
    {
        "BatchInput", "MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath", "MaxItemsPerBatch",
        "MaxItemsPerBatchPath",
    }
)  # fmt: skip
_WRITER: Final = frozenset({"Parameters", "Resource", "WriterConfig"})


def is_distributed(state: Mapping[str, Any]) -> bool:
    """Whether a Map runs its items in executions of their own."""
    processor = state.get("ItemProcessor")
    config = cast("dict[str, Any]", processor).get("ProcessorConfig") if isinstance(processor, dict) else None
    return isinstance(config, dict) and cast("dict[str, Any]", config).get("Mode") == "DISTRIBUTED"


def check_map(state: Mapping[str, Any], kind: str, *, jsonata: bool) -> Iterator[Problem]:
    """What is wrong with a Map of a machine of a type."""
    if ("Iterator" in state and not jsonata) is ("ItemProcessor" in state):
        yield Problem("Exactly one of 'ItemProcessor' and 'Iterator' is required", "")
        return
    yield from _check_config(_object(state, "ItemProcessor").get("ProcessorConfig", {}))
    if not is_distributed(state):
        found = [name for name in _DISTRIBUTED if name in state]
        yield from (Problem("Field is only supported by a Map of DISTRIBUTED mode", f"/{name}") for name in found)
        return
    if kind == "EXPRESS":
        yield Problem("Express state machine does not support a Map of DISTRIBUTED mode", "/ItemProcessor")
    for name, check in (
        ("ItemReader", _check_reader),
        ("ItemBatcher", _check_batcher),
        ("ResultWriter", _check_writer),
    ):
        if name in state:
            yield from check(_object(state, name), jsonata=jsonata)


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _check_config(config: Any) -> Iterator[Problem]:
    at = "/ItemProcessor/ProcessorConfig"
    given = cast("dict[str, Any]", config) if isinstance(config, dict) else {}
    mode = given.get("Mode", "INLINE")
    if mode not in _MODES:
        yield Problem("Value is not INLINE or DISTRIBUTED", f"{at}/Mode")
    if mode == "DISTRIBUTED" and given.get("ExecutionType") not in _TYPES:
        yield Problem("Value is not STANDARD or EXPRESS", f"{at}/ExecutionType")
    if mode == "INLINE" and "ExecutionType" in given:
        yield Problem("Field is only supported in DISTRIBUTED mode", f"{at}/ExecutionType")


def _check_reader(reader: Mapping[str, Any], *, jsonata: bool) -> Iterator[Problem]:
    yield from _unknown(reader, _in_language(_READER, jsonata=jsonata), "/ItemReader")
    if not jsonata:
        yield from _check_template(reader.get("Parameters", {}), "/ItemReader/Parameters")
    if reader.get("Resource") not in _SOURCES:
        yield Problem(f"Value is not {_GET} or {_LIST}", "/ItemReader/Resource")
    yield from _check_reader_config(reader, _object(reader, "ReaderConfig"), jsonata=jsonata)


def _check_reader_config(reader: Mapping[str, Any], config: Mapping[str, Any], *, jsonata: bool) -> Iterator[Problem]:
    at = "/ItemReader/ReaderConfig"
    yield from _unknown(config, _in_language(_READER_CONFIG, jsonata=jsonata), at)
    kind = config.get("InputType")
    if kind in _NOT_SERVED:
        yield Problem(f"Items of the type {kind} are not served by this local cloud", f"{at}/InputType", "NOT_SERVED")
    elif reader.get("Resource") == _GET and kind not in READERS:
        yield Problem(f"Value is not one of {', '.join(READERS)}", f"{at}/InputType")
    if config.get("CSVDelimiter", "COMMA") not in _DELIMITERS:
        yield Problem(f"Value is not one of {', '.join(_DELIMITERS)}", f"{at}/CSVDelimiter")
    if kind == "CSV" and config.get("CSVHeaderLocation") not in _HEADERS:
        yield Problem("Value is not FIRST_ROW or GIVEN", f"{at}/CSVHeaderLocation")
    if config.get("CSVHeaderLocation") == "GIVEN" and not isinstance(config.get("CSVHeaders"), list):
        yield Problem("The field 'CSVHeaders' is required but was missing", f"{at}/CSVHeaders")
    if not str(config.get("ItemsPointer", "/")).startswith("/"):
        yield Problem("Value is not a JSON pointer", f"{at}/ItemsPointer")


def _check_batcher(batcher: Mapping[str, Any], *, jsonata: bool) -> Iterator[Problem]:
    at = "/ItemBatcher"
    yield from _unknown(batcher, _in_language(_BATCHER, jsonata=jsonata), at)
    if not jsonata:
        yield from _check_template(batcher.get("BatchInput", {}), f"{at}/BatchInput")
    if not _BATCHER - {"BatchInput"} & batcher.keys():
        yield Problem("One of 'MaxItemsPerBatch' and 'MaxInputBytesPerBatch' is required", at)
    for name, high in (("MaxItemsPerBatch", 100_000_000), ("MaxInputBytesPerBatch", 262_144)):
        value = batcher.get(name, 1)
        if jsonata and expression_of(value) is not None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= high:
            yield Problem(f"Value is not between 1 and {high}", f"{at}/{name}")


def _check_writer(writer: Mapping[str, Any], *, jsonata: bool) -> Iterator[Problem]:
    yield from _unknown(writer, _in_language(_WRITER, jsonata=jsonata), "/ResultWriter")
    if not jsonata:
        yield from _check_template(writer.get("Parameters", {}), "/ResultWriter/Parameters")
    if "WriterConfig" in writer:
        yield Problem("WriterConfig is not served by this local cloud", "/ResultWriter/WriterConfig", "NOT_SERVED")
    if writer.get("Resource") != _PUT:
        yield Problem(f"Value is not {_PUT}", "/ResultWriter/Resource")


def _in_language(known: frozenset[str], *, jsonata: bool) -> frozenset[str]:
    """The names of fields: in JSONata there are Arguments for Parameters, and no paths."""
    if not jsonata:
        return known
    return frozenset("Arguments" if name == "Parameters" else name for name in known if not name.endswith("Path"))


def _unknown(fields: Mapping[str, Any], known: frozenset[str], at: str) -> Iterator[Problem]:
    for name in fields:
        if name not in known:
            yield Problem("Field is not supported", f"{at}/{name}")


def _check_template(template: Any, at: str) -> Iterator[Problem]:
    for place, message in template_problems(template):
        yield Problem(message, f"{at}{place}")
