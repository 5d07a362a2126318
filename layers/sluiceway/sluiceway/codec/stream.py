"""Streamed replies on the wire: the prelude of an HTTP response, and what a buffered caller gets instead.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import Final

from sluiceway.events.stream import ByteStream, HttpStream

__all__ = ["CONTENT_TYPE", "encode_buffered", "encode_prelude", "read_parts"]

CONTENT_TYPE: Final = "application/vnd.awslambda.http-integration-response"
DELIMITER: Final = bytes(8)  # eight NUL bytes between the prelude and the body


async def read_parts(stream: ByteStream | HttpStream) -> AsyncGenerator[bytes]:
    """The parts as bytes, without empty ones; what makes them is closed at the end, and where reading is given up.

    Raises: what makes them; TypeError for a part of another kind; UnicodeEncodeError for text with a lone surrogate.
    """
    parts = aiter(stream.parts)
    try:
        async for part in parts:
            data = _encode_part(part)
            if data:
                yield data
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()


def encode_prelude(stream: HttpStream) -> bytes:
    """What stands before the body: status, headers and cookies as JSON, and the delimiter."""
    # ASCII alone: no NUL can be in it, and no reader has to guess an encoding.
    return json.dumps(_describe(stream), separators=(",", ":")).encode() + DELIMITER


def encode_buffered(stream: ByteStream | HttpStream, body: bytes) -> object:
    """The reply of an invocation that cannot stream: the bytes themselves, or a proxy integration's reply."""
    if isinstance(stream, ByteStream):
        return body
    try:
        text, is_base64 = body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode(), True
    return {**_describe(stream), "body": text, "isBase64Encoded": is_base64}


def _encode_part(part: object) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, bytes):
        return part
    if isinstance(part, bytearray):
        return bytes(part)
    raise TypeError(f"a stream yields bytes or text, not {type(part).__name__}")


def _describe(stream: HttpStream) -> dict[str, object]:
    members: dict[str, object] = {"statusCode": stream.status, "headers": dict(stream.headers)}
    if stream.cookies:
        members["cookies"] = list(stream.cookies)
    return members
