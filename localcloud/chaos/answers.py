"""A function's answer to an HTTP event, with another status code in it. Pure.

Buffered, it is a JSON object with `statusCode` and `body`; streamed, a JSON prelude with `statusCode`, eight NUL bytes
and the payload. What is neither stays as it is.
Source: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from localcloud.chaos.faults import Change

__all__ = ["DELIMITER", "HTTP_CONTENT_TYPE", "change_buffered", "change_prelude"]

HTTP_CONTENT_TYPE: Final = b"application/vnd.awslambda.http-integration-response"
DELIMITER: Final = bytes(8)


def change_buffered(answer: bytes, change: Change) -> bytes | None:
    """The answer with the new status, None where it is no HTTP answer."""
    members = _object(answer)
    if members is None or "statusCode" not in members:
        return None
    members["statusCode"] = change.status
    if change.body is not None:
        members["body"] = change.body
        members.pop("isBase64Encoded", None)
    return json.dumps(members).encode()


def change_prelude(begun: bytes, change: Change) -> bytes | None:
    """The beginning of a streamed answer with the new status; None where it has no prelude.

    `begun` holds the delimiter; what follows it in `begun` is kept, or replaced by the change's body.
    """
    prelude, delimiter, rest = begun.partition(DELIMITER)
    members = _object(prelude or b"{}")
    if not delimiter or members is None:
        return None
    members["statusCode"] = change.status
    return json.dumps(members).encode() + delimiter + (rest if change.body is None else change.body.encode())


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
