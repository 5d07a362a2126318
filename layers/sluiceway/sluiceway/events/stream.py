"""A reply whose body comes in parts, as they are made.

Where the invocation is served by our runtime client each part is sent at once; elsewhere the parts are put together.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import NamedTuple

__all__ = ["ByteStream", "HttpStream"]

_NO_HEADERS: Mapping[str, str] = {}


class ByteStream(NamedTuple):
    """Plain bytes. `parts` are bytes, or text that is sent as UTF-8; empty ones are left out."""

    parts: AsyncIterable[bytes | str]
    content_type: str = "application/octet-stream"


class HttpStream(NamedTuple):
    """An HTTP response, for Function URLs and REST endpoints that stream.

    Status, headers and cookies leave with the first part, so a failure before it can still be told as one. A flow that
    wants them to leave earlier yields something small first (`: \\n\\n` is a comment of server-sent events).
    """

    parts: AsyncIterable[bytes | str]
    status: int = 200
    headers: Mapping[str, str] = _NO_HEADERS
    cookies: tuple[str, ...] = ()
