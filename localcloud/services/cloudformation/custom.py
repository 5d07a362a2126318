"""The documents of custom resources: what is asked, and what is answered. Pure.

Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-create.html
and crpg-ref-responses.html beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.template.properties import scalar_text

__all__ = ["MAX_ANSWER_BYTES", "Answer", "Asked", "BadAnswer", "as_texts", "read_answer"]

MAX_ANSWER_BYTES: Final = 4096  # crpg-ref-responses: "the total size of the response body can't exceed 4096 bytes"
MAX_PHYSICAL_ID_BYTES: Final = 1024  # the same: "can be up to 1 KB in size"


class BadAnswer(ValueError):
    """The answer is none that CloudFormation takes; the text says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to whoever makes the resource. `kind`: Create or Delete; `physical_id` "" while there is none."""

    kind: str
    stack_id: str
    request_id: str
    logical_id: str
    resource_type: str
    properties: Mapping[str, Any]
    physical_id: str = ""

    def document(self, answer_url: str) -> str:
        """The request as JSON, with every scalar of the properties as text."""
        named = {
            "RequestType": self.kind,
            "ServiceToken": self.properties.get("ServiceToken"),
            "ResponseURL": answer_url,
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_id,
            **({"PhysicalResourceId": self.physical_id} if self.physical_id else {}),
            "ResourceType": self.resource_type,
            "ResourceProperties": as_texts(self.properties),
        }
        return json.dumps(named, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered. `reason` is "" where none is given; `hidden`: NoEcho, so the data is shown nowhere."""

    succeeded: bool
    physical_id: str
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hidden: bool = False


def as_texts(value: Any) -> Any:
    """`value` with every number and boolean as text, as CloudFormation sends properties."""
    if isinstance(value, Mapping):
        return {key: as_texts(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [as_texts(item) for item in cast("list[Any]", value)]
    text = scalar_text(value)
    return value if text is None else text


def read_answer(body: bytes, asked: Asked) -> Answer:
    """The answer in `body` to `asked`. Raises BadAnswer."""
    if len(body) > MAX_ANSWER_BYTES:
        raise BadAnswer(f"Response object is too long: {len(body)} bytes, {MAX_ANSWER_BYTES} are taken")
    try:
        found = parse_json(body)
    except MalformedJson as error:
        raise BadAnswer(f"the response is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadAnswer("the response must be a JSON object")
    fields = cast("dict[str, Any]", found)
    if fields.get("Status") not in ("SUCCESS", "FAILED"):
        raise BadAnswer(f"Invalid Status: must be SUCCESS or FAILED, is {fields.get('Status')!r}")
    succeeded = fields["Status"] == "SUCCESS"
    wanted = {"StackId": asked.stack_id, "RequestId": asked.request_id, "LogicalResourceId": asked.logical_id}
    for name, value in wanted.items():
        if fields.get(name) != value:
            raise BadAnswer(f"{name} must be copied from the request, is {fields.get(name)!r}")
    return Answer(
        succeeded=succeeded,
        physical_id=_physical_id(fields, asked, needed=succeeded),
        reason=str(fields.get("Reason") or ""),
        data=_data(fields),
        hidden=str(fields.get("NoEcho", "")).lower() == "true",
    )


def _physical_id(fields: Mapping[str, Any], asked: Asked, *, needed: bool) -> str:
    given = fields.get("PhysicalResourceId")
    if given is None and not needed:
        return asked.physical_id
    if not isinstance(given, str) or not given or len(given.encode()) > MAX_PHYSICAL_ID_BYTES:
        raise BadAnswer(f"Invalid PhysicalResourceId: must be text of 1 to {MAX_PHYSICAL_ID_BYTES} bytes")
    return given


def _data(fields: Mapping[str, Any]) -> dict[str, Any]:
    data = fields.get("Data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadAnswer("Data must be a JSON object of names and values")
    return {key: item if scalar_text(item) is None else scalar_text(item) for key, item in data.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
