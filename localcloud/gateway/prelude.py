"""The head of a streamed HTTP response: metadata in JSON, eight NUL bytes, then the body. Both fronts read it alike.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.gateway.proxy import malformed, read_headers, read_status
from localcloud.json_text import parse_json

__all__ = ["HTTP_INTEGRATION", "Prelude", "read_cookies", "read_prelude"]

HTTP_INTEGRATION: Final = "application/vnd.awslambda.http-integration-response"
"""The content type that says that a response has a prelude."""

_DELIMITER: Final = bytes(8)
_KEYS: Final = frozenset({"statusCode", "headers", "multiValueHeaders", "cookies"})


@dataclass(frozen=True, slots=True)
class Prelude:
    """The head, and the first bytes of the body where they came together with it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    rest: bytes


async def read_prelude(chunks: AsyncGenerator[bytes], *, limit_bytes: int) -> Prelude:
    """Read up to the delimiter, which must end within `limit_bytes`. Raises GatewayError 502."""
    held = b""
    async for chunk in chunks:
        held += chunk
        at = held.find(_DELIMITER, 0, limit_bytes)
        if at >= 0:
            status, headers = _parse(held[:at])
            return Prelude(status, headers, held[at + len(_DELIMITER) :])
        if len(held) >= limit_bytes:
            break
    raise malformed(f"Malformed streamed response: no delimiter in its first {min(len(held), limit_bytes)} bytes")


def _parse(text: bytes) -> tuple[int, tuple[tuple[str, str], ...]]:
    try:
        found = parse_json(text)
    except ValueError as error:
        raise malformed("Malformed streamed response: its metadata is not JSON") from error
    if not isinstance(found, dict):
        raise malformed("Malformed streamed response: its metadata is not an object")
    parts = cast("dict[str, Any]", found)
    unknown = sorted(set(parts) - _KEYS)
    if unknown:
        raise malformed(f"Malformed streamed response: {', '.join(unknown)} cannot be there")
    return read_status(parts), (*read_headers(parts), *read_cookies(parts))


def read_cookies(parts: dict[str, Any]) -> list[tuple[str, str]]:
    """The `cookies` of a reply as Set-Cookie headers. Raises GatewayError 502."""
    cookies = parts.get("cookies")
    return read_headers({"multiValueHeaders": {"Set-Cookie": cookies}}) if cookies else []
