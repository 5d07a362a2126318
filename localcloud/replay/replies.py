"""What a target answered, in the form in which replies are recorded: JSON, or the reply of a proxy integration.

A function that streams an HTTP response sends a prelude (status, headers), eight NUL bytes and the body; recorded is
what the same function replies where it cannot stream. Knows no target and compares nothing.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
"""

from __future__ import annotations

import base64
import json
from typing import Final, cast

from localcloud.caller import Answer, Unreachable

__all__ = ["DELIMITER", "as_proxy_reply", "read_json", "read_payload"]

DELIMITER: Final = bytes(8)  # no JSON holds a raw NUL, so a buffered reply is never mistaken for a streamed one


def read_json(reply: str | bytes, sender: str) -> object:
    """A reply that is JSON. Raises Unreachable, naming `sender`, where it is not."""
    try:
        return cast("object", json.loads(reply))
    except ValueError as error:
        message = f"the reply of {sender} is not JSON: {str(reply[:100])!r}"
        raise Unreachable(message) from error


def read_payload(payload: bytes, sender: str) -> object:
    """What an invocation answered, streamed or not; nothing at all is `null`. Raises Unreachable."""
    head, delimiter, body = payload.partition(DELIMITER)
    if not delimiter:
        return read_json(payload or b"null", sender)
    prelude = read_json(head or b"{}", sender)
    if not isinstance(prelude, dict):
        message = f"the prelude of {sender} is no JSON object: {str(head[:100])!r}"
        raise Unreachable(message)
    left_out: dict[str, object] = {"statusCode": 200, "headers": {}}
    return left_out | cast("dict[str, object]", prelude) | _as_text(body)


def as_proxy_reply(answer: Answer, recorded: object) -> dict[str, object]:
    """An HTTP answer as a proxy reply; of its headers those that the recorded reply has, in its own spelling."""
    named = cast("dict[str, object]", recorded).get("headers") if isinstance(recorded, dict) else None
    names = list(cast("dict[str, object]", named)) if isinstance(named, dict) else []
    kept = {name: answer.headers[name.lower()] for name in names if name.lower() in answer.headers}
    return {"statusCode": answer.status, "headers": kept, **_as_text(answer.body)}


def _as_text(body: bytes) -> dict[str, object]:
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
