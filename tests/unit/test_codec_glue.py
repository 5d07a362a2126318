"""codec.glue: frames of the Glue Schema Registry."""

from __future__ import annotations

import tracemalloc
import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import glue
from sluiceway.errors import Rejected

VERSION = UUID("b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63")
PLAIN = b"\x03\x00" + VERSION.bytes
ZLIB = b"\x03\x05" + VERSION.bytes
SECRET = b"secret payload"


def refuse(data: bytes, **options: int) -> Rejected:
    with pytest.raises(Rejected) as caught:
        glue.read_frame(data, **options)
    assert "secret" not in str(caught.value)
    return caught.value


@given(version=st.uuids(), payload=st.binary(max_size=2000), compress=st.booleans())
def test_what_was_framed_is_what_comes_out(version: UUID, payload: bytes, compress: bool) -> None:
    """Compressed or not, the schema version beside it; from a view of memory too."""
    data = glue.write_frame(version, payload, compress=compress)
    assert glue.is_framed(data)
    assert glue.read_frame(data) == glue.read_frame(memoryview(data)) == glue.Frame(version, payload)


def test_the_layout_is_the_registrys() -> None:
    """Header version 3, compression 0 or 5, the UUID big-endian, the payload; zlib's format, whatever the level."""
    assert glue.write_frame(VERSION, b"hi") == b"\x03\x00\xb7\xb4\xa7\xf0\x9c\x96NJ\xa6\x87\xfb]\xe9\xef\x0cchi"
    compressed = glue.write_frame(VERSION, b"hi" * 99, compress=True)
    assert (compressed[:18], zlib.decompress(compressed[18:])) == (ZLIB, b"hi" * 99)
    for level in range(10):
        assert glue.read_frame(ZLIB + zlib.compress(b"hi" * 99, level)).payload == b"hi" * 99


@pytest.mark.parametrize(
    ("data", "reason", "field"),
    [
        (b"", "glue-not-framed", "header"),
        (b'{"secret": 1}', "glue-not-framed", "header"),
        (b"\x00\x00\x00\x00\x01" + SECRET, "glue-not-framed", "header"),
        (b"\x03", "glue-truncated", "header"),
        (PLAIN[:17], "glue-truncated", "header"),
        (b"\x03\x01" + VERSION.bytes + SECRET, "glue-compression", "compression"),
        (ZLIB, "glue-inflate", "payload"),
        (ZLIB + SECRET, "glue-inflate", "payload"),
        (ZLIB + zlib.compress(SECRET)[:-1], "glue-inflate", "payload"),
        (ZLIB + zlib.compress(SECRET)[:-4] + b"0000", "glue-inflate", "payload"),
        (ZLIB + zlib.compress(SECRET)[2:], "glue-inflate", "payload"),
        (ZLIB + zlib.compress(SECRET) + b"\x00", "glue-trailing", "payload"),
        (ZLIB + zlib.compress(SECRET) * 2, "glue-trailing", "payload"),
    ],
)
def test_other_data_is_refused_by_name(data: bytes, reason: str, field: str) -> None:
    """Not framed (text, or Confluent's zero byte), cut, compressed in another way, or with more behind it."""
    error = refuse(data)
    assert (error.reason, error.field) == (reason, field)


def test_no_truncation_of_a_compressed_frame_goes_unnoticed() -> None:
    """Each is refused; zlib's own checksum stands at the very end."""
    data = glue.write_frame(VERSION, SECRET * 40, compress=True)
    assert {refuse(data[:length]).reason for length in range(len(data))} == {
        "glue-not-framed",
        "glue-truncated",
        "glue-inflate",
    }


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 65_536])
def test_the_payload_is_bounded(compress: bool, size: int) -> None:
    """As much as was asked for is read, a byte more is not."""
    data = glue.write_frame(VERSION, bytes(size + 1), compress=compress)
    assert refuse(data, max_bytes=size).reason == "glue-too-large"
    assert glue.read_frame(data, max_bytes=size + 1).payload == bytes(size + 1)


def test_what_inflates_without_end_is_not_inflated() -> None:
    """A frame of 100 kB that holds 100 MB: memory for the bound of 10 MiB and its parts, not for what it would be."""
    data = glue.write_frame(VERSION, bytes(100_000_000), compress=True)
    assert len(data) < 100_000
    tracemalloc.start()
    try:
        assert refuse(data).reason == "glue-too-large"
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "framed"),
    [
        (PLAIN, True),
        (ZLIB, True),
        (ZLIB + SECRET, True),
        (PLAIN[:17], False),
        (b"\x03\x01" + VERSION.bytes, False),
        (b"\x02" + PLAIN[1:], False),
        (b'{"a": "text of some length"}', False),
        (b"", False),
    ],
)
def test_a_header_is_recognised_as_the_registrys_libraries_do(data: bytes, framed: bool) -> None:
    """Eighteen bytes at least, the version, a compression that there is."""
    assert glue.is_framed(data) is framed
    assert glue.is_framed(memoryview(data)) is framed
