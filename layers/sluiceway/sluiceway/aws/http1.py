"""HTTP/1.1 replies, read from bytes: a pure parser, no I/O.

It obeys RFC 9112 and is strict where leniency would let two readers disagree about where a reply ends: bare line
feeds, folded headers, white space before a colon, a length beside chunks, several lengths and unknown transfer codings
are violations. Head, body and trailers are bounded. The body can be taken while it still arrives (`take_body`), which
is what a streamed reply needs; the head is known as soon as it is complete.

Source: https://www.rfc-editor.org/rfc/rfc9112.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["Head", "ProtocolViolationError", "ReplyParser"]

MAX_HEAD_BYTES: Final = 64 * 1024  # h11 takes 16 KiB, http.client 64 KiB a line
MAX_BODY_BYTES: Final = 256 * 1024 * 1024  # an object of S3 in a function's memory; every other reply is far smaller
MAX_CHUNK_LINE_BYTES: Final = 1024
MAX_INTERIM: Final = 16  # replies of 100 to 199 before the final one; AWS sends one 100 at most

# No regular expressions: to compile them took a fiftieth of a cold start. What peers repeat is remembered instead.
_TEXT: Final = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])  # what field values and reasons may hold
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_HEX: Final = b"0123456789ABCDEFabcdef"
MAX_LENGTH_DIGITS: Final = 18
MAX_SIZE_DIGITS: Final = 15
MEMORY: Final = 256  # names, statuses and options remembered; the peers are few


class ProtocolViolationError(Exception):
    """The peer does not speak HTTP/1.1 as it must, or more of it than is allowed."""


class Head(NamedTuple):
    """Status and headers (lower-case names; repeated ones joined with ", ")."""

    status: int
    headers: Mapping[str, str]


class ReplyParser:
    """Reads one reply. Feed it what arrives; `complete` says when the reply is whole.

    `bodiless`: the request was a HEAD. `keep_alive`: after this reply the connection may serve another request.
    """

    __slots__ = (
        "_at",
        "_bodiless",
        "_body",
        "_buffer",
        "_interim",
        "_left",
        "_received",
        "_step",
        "complete",
        "head",
        "keep_alive",
    )

    def __init__(self, *, bodiless: bool = False) -> None:
        self.head: Head | None = None
        self.complete = False
        self.keep_alive = False
        self._bodiless = bodiless
        self._buffer = b""
        self._at = 0  # where the unread part of the buffer begins
        self._body: list[bytes] = []
        self._received = 0
        self._left = 0
        self._interim = 0
        self._step: Callable[[], bool] = self._read_head

    @property
    def started(self) -> bool:
        """Whether any byte of a reply has come."""
        return self.head is not None or self._at < len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what arrived. Raises ProtocolViolationError."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0
        while not self.complete and self._step():
            pass
        if self.complete and self._at < len(self._buffer):
            self.keep_alive = False  # nobody can say what those bytes belong to

    def end(self) -> None:
        """The peer has sent its last byte. Raises ProtocolViolationError when the reply is not whole."""
        if self.complete:
            return
        if self._step != self._read_to_end:
            raise ProtocolViolationError("the connection ended inside the reply")
        self.complete = True

    def take_body(self) -> bytes:
        """The body bytes that arrived since the last call."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return body

    def _read_head(self) -> bool:
        end = self._find(b"\r\n\r\n", MAX_HEAD_BYTES)
        if end < 0:
            return False
        first, *lines = _split_lines(self._buffer[self._at : end])
        self._at = end + 4
        status, is_newest = _read_status(first)
        if status == 101:
            raise ProtocolViolationError("an upgrade that nobody asked for")
        if status >= 200:
            self.head = Head(status, _parse_headers(lines))
            self._choose_body(self.head, is_newest=is_newest)
        else:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ProtocolViolationError("interim replies without end")
        return True

    def _choose_body(self, head: Head, *, is_newest: bool) -> None:
        options = _read_options(head.headers.get("connection", ""))
        self.keep_alive = "close" not in options if is_newest else "keep-alive" in options
        coding = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None or not is_newest:
                raise ProtocolViolationError("the transfer coding is ambiguous or unknown")
            self._step = self._read_chunk_size
        elif length is not None and not (length.isdecimal() and len(length) <= MAX_LENGTH_DIGITS):
            raise ProtocolViolationError("the content length is no number")
        if self._bodiless or head.status in {204, 304}:
            self.complete = True
        elif length is not None:
            self._left = int(length)
            self._count(self._left)
            self.complete = self._left == 0
            self._step = self._read_counted
        elif coding is None:
            self.keep_alive = False
            self._step = self._read_to_end

    def _read_counted(self) -> bool:
        self._take(self._left)
        self.complete = self._left == 0
        return False

    def _read_to_end(self) -> bool:
        size = len(self._buffer) - self._at
        self._count(size)
        self._take(size)
        return False

    def _read_chunk_size(self) -> bool:
        end = self._find(b"\r\n", MAX_CHUNK_LINE_BYTES)
        if end < 0:
            return False
        self._left = _read_size(self._buffer[self._at : end])
        self._at = end + 2
        self._count(self._left)
        self._step = self._read_chunk if self._left else self._read_trailers
        return True

    def _read_chunk(self) -> bool:
        self._take(self._left)
        if self._left or len(self._buffer) - self._at < 2:
            return False
        if not self._buffer.startswith(b"\r\n", self._at):
            raise ProtocolViolationError("a chunk is longer than its size")
        self._at += 2
        self._step = self._read_chunk_size
        return True

    def _read_trailers(self) -> bool:
        if self._buffer.startswith(b"\r\n", self._at):
            self._at += 2
        else:
            end = self._find(b"\r\n\r\n", MAX_HEAD_BYTES)
            if end < 0:
                return False
            _parse_headers(_split_lines(self._buffer[self._at : end]))
            self._at = end + 4
        self.complete = True
        return False

    def _find(self, mark: bytes, most: int) -> int:
        """Where `mark` is, or -1 when it has yet to come. Raises when it is not within `most` bytes."""
        end = self._buffer.find(mark, self._at, self._at + most)
        if end < 0 and len(self._buffer) - self._at >= most:
            raise ProtocolViolationError(f"no end of line in {most} bytes")
        return end

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > MAX_BODY_BYTES:
            raise ProtocolViolationError("the body is too large")

    def _take(self, size: int) -> None:
        """Move up to `size` bytes from the buffer to the body."""
        part = self._buffer[self._at : self._at + size]  # no copy where it is all there is
        self._at += len(part)
        self._left -= len(part)
        if part:
            self._body.append(part)


def _split_lines(head: bytes) -> list[str]:
    if len(head.translate(None, _TEXT)) != 2 * head.count(b"\r\n"):  # something else than text and whole line ends
        raise ProtocolViolationError("a control character in the head")
    return head.decode("latin-1").split("\r\n")


@lru_cache(MEMORY)
def _read_status(line: str) -> tuple[int, bool]:
    """The status, and whether the peer speaks HTTP/1.1 (it may be 1.0)."""
    version, _, rest = line.partition(" ")
    digits = rest[:3]
    is_status = len(digits) == 3 and digits.isascii() and digits.isdigit() and digits >= "100"
    if version not in {"HTTP/1.1", "HTTP/1.0"} or not is_status or rest[3:4] not in {"", " "}:
        raise ProtocolViolationError("the status line is malformed")
    return int(digits), version == "HTTP/1.1"


@lru_cache(MEMORY)
def _read_options(connection: str) -> frozenset[str]:
    return frozenset(option.strip() for option in connection.lower().split(","))


def _read_size(line: bytes) -> int:
    """The size of a chunk, whose line may hold extensions after a semicolon."""
    size, _, extensions = line.partition(b";")
    digits = size.rstrip(b"\t ")
    if not 0 < len(digits) <= MAX_SIZE_DIGITS or digits.translate(None, _HEX) or extensions.translate(None, _TEXT):
        raise ProtocolViolationError("a chunk's size is no number")
    return int(digits, 16)


def _parse_headers(lines: list[str]) -> dict[str, str]:
    fields = [line.split(":", 1) for line in lines]
    try:
        headers = {_read_name(name): value.strip(" \t") for name, value in fields}
    except ValueError:
        raise ProtocolViolationError("a header line without a colon") from None
    return headers if len(headers) == len(fields) else _join_repeated(fields)


def _join_repeated(fields: list[list[str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = _read_name(name), value.strip(" \t")
        if key not in headers:
            headers[key] = text
        elif key in {"content-length", "transfer-encoding"}:
            raise ProtocolViolationError("several lengths or transfer codings")
        else:
            headers[key] = f"{headers[key]}, {text}"
    return headers


@lru_cache(MEMORY)
def _read_name(name: str) -> str:
    if not name or not _TOKEN.issuperset(name):
        raise ProtocolViolationError("a header name is malformed")
    return name.lower()
