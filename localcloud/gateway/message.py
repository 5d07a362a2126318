"""An HTTP request and answer as the gateway's rules see them: no sockets, no framework."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qsl

__all__ = [
    "ByteStream",
    "HttpRequest",
    "HttpResponse",
    "StreamCutError",
    "decode_header",
    "final_status",
    "last_values",
    "query_items",
]

_STATUS: Final = re.compile(r"[2-5][0-9][0-9]")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `path` is encoded and starts after the stage, `query` is raw, headers keep case and order.

    `name` is the custom domain name that it came by, "" for none, and `base` what the name's mapping took of the path.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    host: str = "localhost"
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"
    name: str = ""
    base: str = ""

    def header(self, name: str) -> str | None:
        """The last value of the header, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in reversed(self.headers) if key.lower() == wanted), None)


class ByteStream(Protocol):
    """A body as it is made; an async generator is one."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Nobody reads on."""
        ...


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer; a header may be there several times.

    `stream` follows `body`, as it is made; whoever sends it closes it in the end. Where it raises StreamCutError, the
    client's connection ends without the end of the answer.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    stream: ByteStream | None = None

    def header(self, name: str) -> str | None:
        """The last value of the header, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in reversed(self.headers) if key.lower() == wanted), None)


class StreamCutError(Exception):
    """A streamed answer cannot be sent to its end: the function failed midway, or took too long."""


def decode_header(raw: bytes) -> str:
    """A header's name or value as text: UTF-8 where it is that, else Latin-1, in which every byte is a character.

    AWS does not say what API Gateway does with bytes that are no UTF-8; RFC 9110 names Latin-1, and nothing is lost.
    Source: https://www.rfc-editor.org/rfc/rfc9110#section-5.5
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def final_status(given: object) -> int | None:
    """A status that can end an exchange, 200 to 599, as a number or in digits; None for anything else.

    1xx is for interim responses: a client that gets one waits for another.
    Source: https://www.rfc-editor.org/rfc/rfc9110#section-15.2
    """
    if isinstance(given, bool) or not isinstance(given, int | str):
        return None
    if isinstance(given, int):
        return given if 200 <= given <= 599 else None
    return int(given) if _STATUS.fullmatch(given) else None


def query_items(query: str) -> list[tuple[str, str]]:
    """The decoded parameters of a raw query string, in order."""
    return parse_qsl(query, keep_blank_values=True)


def last_values(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header name to last value; names that differ in case only are one, spelt as first sent."""
    spelt: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, value in items:
        key = spelt.setdefault(name.lower(), name)
        values[key] = value
    return values
