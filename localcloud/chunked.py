"""The `aws-chunked` content encoding: a body cut into signed chunks, with checksums in its trailer. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MalformedChunks", "decode_aws_chunked"]

_HEADER: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(;[^\r\n]*)?\r\n")


class MalformedChunks(Exception):
    """The body is not what its encoding says."""


def decode_aws_chunked(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The body proper, and its trailing headers with lower-case names.

    Chunk signatures are not verified. Raises MalformedChunks.
    """
    chunks: list[bytes] = []
    at = 0
    while True:
        header = _HEADER.match(body, at)
        if header is None:
            raise MalformedChunks("a chunk has no size")
        size, start = int(header[1], 16), header.end()
        if size == 0:
            return b"".join(chunks), _read_trailer(body[start:])
        end = start + size
        if body[end : end + 2] != b"\r\n":
            raise MalformedChunks("a chunk is not as long as it says")
        chunks.append(body[start:end])
        at = end + 2


def _read_trailer(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() != "x-amz-trailer-signature":
            found[name.strip().lower()] = value.strip()
    return found
