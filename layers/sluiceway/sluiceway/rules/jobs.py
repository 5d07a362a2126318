"""What a job is: its id, its request and the limits of both.

Pure decisions. Must not know queues, stores or models. The same limits stand in template.yaml's `JobRequest`, where the
API refuses most of what is wrong before it is queued; here they hold for whatever reaches the queue another way.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from sluiceway.errors import Rejected

__all__ = [
    "MAX_TOKENS",
    "MEMBERS",
    "JobId",
    "JobRequest",
    "parse_job_id",
    "parse_job_request",
    "parse_members",
    "read_job_request",
]

MAX_PROMPT: Final = 262_144  # characters (code points), as the template's schema counts
MAX_SYSTEM: Final = 16_384
MAX_TOKENS: Final = 8_192  # and of a deployment's own MAX_OUTPUT_TOKENS
MAX_ID: Final = 1_024  # the longest key (128 characters of 4 bytes) in base64 makes 684; SQS and S3 keys take this

_JOB_ID: Final = re.compile(
    r"(?:k\.(?P<k_caller>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+"
    r"|r\.(?P<r_caller>[A-Za-z0-9_-]+)\.(?P<epoch_ms>[0-9]{1,15})\.(?P<request_id>[A-Za-z0-9-]+))"
)
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # what API Gateway makes: a UUID
MEMBERS: Final = frozenset({"prompt", "system", "max_tokens", "temperature"})


@dataclass(frozen=True, slots=True)
class JobId:
    """A job's id, taken apart. `requested_ms` is when it was asked for (epoch ms), None where the client gave a key.

    `is_usual` is False where the request id is none that API Gateway makes. Such jobs are run all the same, for a
    client may override the id of its request, and the console's test has a word for one.
    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
    """

    text: str
    caller: str
    requested_ms: int | None
    is_usual: bool = True

    @property
    def client_key(self) -> str:
        """The client's Idempotency-Key, "" where there is none, or none that is text."""
        if self.requested_ms is not None:
            return ""
        encoded = self.text.rpartition(".")[2]
        try:
            return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except ValueError:
            return ""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a client asks for, within the limits."""

    prompt: str
    system: str = ""
    max_tokens: int | None = None
    temperature: float | None = None


def parse_job_id(text: str) -> JobId | None:
    """The id `k.<caller>.<base64url of the key>` or `r.<caller>.<epoch ms>.<request id>`; None for anything else."""
    found = _JOB_ID.fullmatch(text) if len(text) <= MAX_ID else None
    if found is None:
        return None
    if found["k_caller"]:
        return JobId(text, found["k_caller"], None)
    is_usual = _REQUEST_ID.fullmatch(found["request_id"]) is not None
    return JobId(text, found["r_caller"], int(found["epoch_ms"]), is_usual)


def parse_job_request(body: str) -> JobRequest:
    """The request in `body`. Raises `Rejected` (`invalid-body`) that names the field and its limit, never its value."""
    members = parse_members(body)
    if not members.keys() <= MEMBERS:
        raise _refuse("the body has members other than prompt, system, max_tokens and temperature")
    return read_job_request(members)


def parse_members(body: str) -> dict[str, object]:
    """The members of the JSON object that `body` is. Raises `Rejected` (`invalid-body`)."""
    try:
        decoded: object = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _refuse("the body is not JSON") from None  # the decoder's error carries the body
    if not isinstance(decoded, dict):
        raise _refuse("the body is not a JSON object")
    return cast("dict[str, object]", decoded)


def read_job_request(members: Mapping[str, object]) -> JobRequest:
    """The request among `members`; others are not looked at. Raises as `parse_job_request`."""
    if "prompt" not in members:
        raise _refuse("prompt is missing", "prompt")
    return JobRequest(
        prompt=_text(members, "prompt", MAX_PROMPT),
        system=_text(members, "system", MAX_SYSTEM) if "system" in members else "",
        max_tokens=_tokens(members["max_tokens"]) if "max_tokens" in members else None,
        temperature=_temperature(members["temperature"]) if "temperature" in members else None,
    )


def _text(members: Mapping[str, object], field: str, longest: int) -> str:
    value = members[field]
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise _refuse(f"{field} must be text of 1 to {longest} characters", field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refuse(f"{field} holds half of a surrogate pair, which is no character", field) from None
    return value


def _tokens(value: object) -> int:
    number = _number(value)
    if number is None or number != int(number) or not 1 <= number <= MAX_TOKENS:
        raise _refuse(f"max_tokens must be a whole number from 1 to {MAX_TOKENS}", "max_tokens")
    return int(number)


def _temperature(value: object) -> float:
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise _refuse("temperature must be a number from 0 to 1", "temperature")
    return float(number)


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _refuse_constant(_name: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


def _refuse(why: str, field: str | None = None) -> Rejected:
    return Rejected(why, reason="invalid-body", field=field)
