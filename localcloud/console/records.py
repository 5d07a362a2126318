"""Log lines and connections as the console's API shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from localcloud.compute.function import FunctionSpec
from localcloud.gateway.websocket.connection import Connection
from localcloud.json_text import MalformedJson, read_json
from localcloud.services.logs.model import LogEvent

__all__ = ["ApiNames", "describe_connection", "describe_log"]


class ApiNames:
    """What a stage is called among the endpoints."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self._names = {tuple(url.rsplit("/", 2)[-2:]): name for name, url in endpoints.items()}

    def find(self, api_id: str, stage: str) -> str:
        """The endpoint's name; the API's id where no endpoint is this stage."""
        return self._names.get((api_id, stage), api_id)


def describe_connection(connection: Connection, names: ApiNames) -> dict[str, Any]:
    """CONNECTION of the API's docstring."""
    authorizer = connection.client.authorizer or {}
    return {
        "id": connection.id,
        "api": names.find(connection.api_id, connection.stage),
        "stage": connection.stage,
        "caller": authorizer.get("principalId"),
        "connected_ms": round(connection.client.connected_at_s * 1000, 3),
        "last_active_ms": round(connection.last_active_s * 1000, 3),
        "buffered_bytes": connection.buffered_bytes,
        "messages_in": connection.messages_in,
        "messages_out": connection.messages_out,
    }


def describe_log(event: LogEvent, specs: Iterable[FunctionSpec]) -> dict[str, Any]:
    """LOG of the API's docstring. `specs`: the functions whose line it may be."""
    record = _read_record(event.message)
    return {
        "function": _find_function(event, specs),
        "stream": event.stream,
        "timestamp_ms": event.timestamp_ms,
        "message": event.message if record is None else None,
        "record": record,
    }


def _find_function(event: LogEvent, specs: Iterable[FunctionSpec]) -> str:
    """The logical id. Of functions that share a group the stream names the one: `2026/11/23/name[$LATEST]...`."""
    sharing = [spec for spec in specs if spec.group == event.group]
    named = event.stream.rpartition("/")[2].partition("[")[0]
    found = next((spec for spec in sharing if spec.name == named), sharing[0] if sharing else None)
    return (found.logical_id or found.name) if found is not None else event.group


def _read_record(message: str) -> dict[str, Any] | None:
    """The object that a line is, None where it is none."""
    if not message.startswith("{"):
        return None
    try:
        record = read_json(message.encode())
    except (MalformedJson, UnicodeEncodeError):
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None
