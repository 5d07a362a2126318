"""The items of a distributed Map: from the state's input or from S3, and the batches that are made of them.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html and
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.states.data import MAX_BYTES, size_of, write_json
from localcloud.services.states.definition import State
from localcloud.services.states.failures import DATA_LIMIT, READER_FAILED, RUNTIME, StateFailure
from localcloud.services.states.flow import Lane
from localcloud.services.states.paths import Scope
from localcloud.services.states.query_data import evaluate_bounded
from localcloud.services.states.reading import read_items, read_template, select_item
from localcloud.services.states.steps import read_value
from localcloud.services.states.task_resource import TaskResource

__all__ = ["Batch", "make_batches", "read_all"]

MAX_ITEMS: Final = 100_000_000  # MaxItems: "The maximum value is 100,000,000"
_DELIMITERS: Final[Mapping[str, str]] = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}
_GET: Final = TaskResource("arn:aws:states:::aws-sdk:s3:getObject", "sdk", "s3", "getObject")
_LIST: Final = TaskResource("arn:aws:states:::aws-sdk:s3:listObjectsV2", "sdk", "s3", "listObjectsV2")


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of a child execution, and how many items are in it."""

    value: Any
    count: int


async def read_all(state: State, scope: Scope, *, lane: Lane) -> list[Any]:
    """Every item, as an iteration is given it. Raises StateFailure."""
    if "ItemReader" in state.fields:
        found = await _read_objects(state, scope, lane)
        most = await _most(state, scope, lane)
    else:
        found, most = _pairs(await read_items(state, scope, lane)), MAX_ITEMS
    chosen: list[Any] = []
    for index, each in enumerate(found[:most]):
        chosen.append(await select_item(state, scope, {"Index": index, "Value": each}, lane=lane))
    return chosen


async def _most(state: State, scope: Scope, lane: Lane) -> int:
    config: Mapping[str, Any] = state.fields["ItemReader"].get("ReaderConfig", {})
    if state.jsonata:
        place = "ItemReader/ReaderConfig/MaxItems"
        most = await evaluate_bounded(config.get("MaxItems", 0), place, scope, lane=lane, bounds=(0, MAX_ITEMS))
        most = int(most)
    elif "MaxItemsPath" in config:
        most = read_value(config["MaxItemsPath"], scope, lane)
    else:
        most = config.get("MaxItems", 0)
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= MAX_ITEMS:
        raise StateFailure(RUNTIME, f"MaxItems must be an integer from 0 to {MAX_ITEMS}", located=False)
    return most or MAX_ITEMS


def _pairs(found: Any) -> list[Any]:
    """A list as it is; an object as its pairs."""
    if isinstance(found, list):
        return cast("list[Any]", found)
    if isinstance(found, dict):
        return [{"Key": name, "Value": each} for name, each in cast("dict[str, Any]", found).items()]
    shown = write_json(found)[:1000]
    raise StateFailure(
        RUNTIME, f"The items of a Map must be an array or object. Current value is: {shown}", located=False
    )


# ---------------------------------------------------------------------- from S3


async def _read_objects(state: State, scope: Scope, lane: Lane) -> list[Any]:
    reader: Mapping[str, Any] = state.fields["ItemReader"]
    name = "Arguments" if state.jsonata else "Parameters"
    given = await read_template(state, reader.get(name, {}), f"ItemReader/{name}", scope=scope, lane=lane)
    try:
        if reader["Resource"].endswith(":listObjectsV2"):
            return await _list_objects(given, lane)
        answer = await lane.run.world.caller.call(_GET, given, lane.run)
    except StateFailure as failure:
        raise StateFailure(READER_FAILED, failure.cause) from failure
    return list(_read_text(answer["Body"], reader.get("ReaderConfig", {})))


async def _list_objects(given: Mapping[str, Any], lane: Lane) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        more = {"ContinuationToken": token} if token else {}
        answer = await lane.run.world.caller.call(_LIST, {**given, **more}, lane.run)
        found.extend(_show_object(each) for each in answer.get("Contents", []))
        token = answer.get("NextContinuationToken", "")
        if not token:
            return found


def _show_object(listed: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Etag": listed.get("ETag", ""),
        "Key": listed["Key"],
        "LastModified": int(datetime.fromisoformat(listed["LastModified"]).timestamp()),
        "Size": listed["Size"],
        "StorageClass": listed.get("StorageClass", "STANDARD"),
    }


def _read_text(text: str, config: Mapping[str, Any]) -> Iterator[Any]:
    try:
        if config["InputType"] == "CSV":
            yield from _read_csv(text, config)
        elif config["InputType"] == "JSONL":
            yield from (parse_json(line) for line in text.splitlines() if line.strip())
        else:
            yield from _read_json(parse_json(text), config.get("ItemsPointer", ""))
    except (MalformedJson, csv.Error) as error:
        message = f"Attempting to parse the {config['InputType']} object failed: {error}"
        raise StateFailure(READER_FAILED, message) from error


def _read_json(value: Any, pointer: str) -> list[Any]:
    """The array or object at a JSON pointer."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[int(name)]
        else:
            value = None
    if not isinstance(value, list | dict):
        raise StateFailure(READER_FAILED, "The JSON object has no array or object of items")
    return _pairs(value)


def _read_csv(text: str, config: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    delimiter = _DELIMITERS[config.get("CSVDelimiter", "COMMA")]
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    headers = list(config["CSVHeaders"]) if config["CSVHeaderLocation"] == "GIVEN" else next(rows, list[str]())
    for row in rows:
        if row:
            padded = [*row, *[""] * (len(headers) - len(row))]
            yield dict(zip(headers, padded, strict=False))


# ---------------------------------------------------------------------- batches


async def make_batches(state: State, items: list[Any], scope: Scope, *, lane: Lane) -> list[Batch]:
    """The inputs of the children. Raises StateFailure."""
    batcher: Mapping[str, Any] | None = state.fields.get("ItemBatcher")
    if batcher is None:
        for each in items:
            _check_bytes(size_of(write_json(each)))
        return [Batch(each, 1) for each in items]
    beside: dict[str, Any] = {}
    if "BatchInput" in batcher:
        made = await read_template(state, batcher["BatchInput"], "ItemBatcher/BatchInput", scope=scope, lane=lane)
        beside = {"BatchInput": made}
    most = await _limit(state, "MaxItemsPerBatch", scope, lane=lane) or MAX_ITEMS
    most_bytes = await _limit(state, "MaxInputBytesPerBatch", scope, lane=lane) or MAX_BYTES
    around = size_of(write_json({**beside, "Items": []}))
    return [Batch({**beside, "Items": each}, len(each)) for each in _cut(items, most, most_bytes, around=around)]


async def _limit(state: State, name: str, scope: Scope, *, lane: Lane) -> int:
    batcher: Mapping[str, Any] = state.fields["ItemBatcher"]
    path = f"{name}Path"
    if state.jsonata:
        given, bounds = batcher.get(name, 0), (0, MAX_ITEMS)
        return int(await evaluate_bounded(given, f"ItemBatcher/{name}", scope, lane=lane, bounds=bounds))
    value = read_value(batcher[path], scope, lane) if path in batcher else batcher.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StateFailure(RUNTIME, f"{name} must be a positive integer", located=False)
    return value


def _cut(items: list[Any], most: int, most_bytes: int, *, around: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = around
    for each in items:
        length = size_of(write_json(each)) + 1
        _check_bytes(around + length - 1)
        if batch and (len(batch) >= most or size + length - 1 > most_bytes):
            yield batch
            batch, size = [], around
        batch.append(each)
        size += length
    if batch:
        yield batch


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise StateFailure(DATA_LIMIT, "An item of the Map exceeds the maximum size of an execution's input.")
