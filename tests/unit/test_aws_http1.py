"""The reply parser: whole replies however they are cut, and what it must refuse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.aws import http1
from sluiceway.aws.http1 import ProtocolViolationError, ReplyParser

COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a:  2 \r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nhel\r\n0002\r\nlo\r\n0\r\nx-trailer: 1\r\nx-more: 2\r\n\r\n"
)
PLAIN_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + COUNTED
EMPTY = b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n"
NO_REASON = b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello"
REPLIES = {
    "counted": (COUNTED, b"hello"),
    "chunked": (CHUNKED, b"hello"),
    "plain chunked": (PLAIN_CHUNKED, b"hello"),
    "early": (EARLY, b"hello"),
    "empty": (EMPTY, b""),
    "no reason": (NO_REASON, b"hello"),
}


def parse(*pieces: bytes, bodiless: bool = False) -> ReplyParser:
    """A parser that was fed the pieces."""
    parser = ReplyParser(bodiless=bodiless)
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_cut_at_any_byte_reads_the_same(name):
    """Two reads, split anywhere, or one read a byte: the same status, headers and body."""
    raw, body = REPLIES[name]
    for cut in range(len(raw) + 1):
        parser = parse(*(piece for piece in (raw[:cut], raw[cut:]) if piece))
        assert (parser.complete, parser.keep_alive, parser.take_body()) == (True, True, body)
    parser = parse(*(raw[at : at + 1] for at in range(len(raw))))
    assert parser.complete
    assert parser.head is not None
    assert parser.head.status == 200
    assert parser.take_body() == body


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_that_ends_too_early_is_never_whole(name):
    """At no byte position can a truncated reply be taken for a whole one."""
    raw, _ = REPLIES[name]
    for cut in range(len(raw)):
        parser = parse(raw[:cut])
        assert not parser.complete
        with pytest.raises(ProtocolViolationError):
            parser.end()


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 40), min_size=1), cuts=st.lists(st.integers(1, 50)))
def test_any_chunking_gives_the_body(body, sizes, cuts):
    """Chunks of any size, read in pieces of any size, are the body."""
    chunks, at = b"", 0
    for number in range(len(body)):
        size = sizes[number % len(sizes)]
        part = body[at : at + size]
        at += size
        chunks += b"%x\r\n%b\r\n" % (len(part), part) if part else b""
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    parser, taken, start = ReplyParser(), b"", 0
    for size in [*cuts, len(raw)]:
        if raw[start : start + size]:
            parser.feed(raw[start : start + size])
        taken += parser.take_body()
        start += size
    assert parser.complete
    assert taken == body


def test_headers_join_and_fold_case():
    """Names are lower-case, values trimmed, repeated ones joined."""
    parser = parse(COUNTED)
    assert parser.head is not None
    assert dict(parser.head.headers) == {"content-length": "5", "x-a": "1, 2"}


def test_a_body_can_be_taken_while_it_arrives():
    """What a streamed reply needs: the head at once, then the bytes as they come."""
    parser = parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel")
    assert parser.head is not None
    assert (parser.take_body(), parser.complete) == (b"hel", False)
    parser.feed(b"\r\n2\r\nlo\r\n0\r\n\r\n")
    assert (parser.take_body(), parser.complete) == (b"lo", True)


def test_a_body_without_length_ends_with_the_connection():
    """RFC 9112, section 6.3, rule 8; the connection is not used again."""
    parser = parse(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert not parser.complete
    parser.end()
    assert (parser.complete, parser.keep_alive, parser.take_body()) == (True, False, b"hello")


@pytest.mark.parametrize(
    ("raw", "bodiless"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", False),
    ],
)
def test_replies_that_have_no_body(raw, bodiless):
    """HEAD, 204 and 304 end with the head, whatever length they name."""
    parser = parse(raw, bodiless=bodiless)
    assert (parser.complete, parser.keep_alive, parser.take_body()) == (True, True, b"")


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Foo, Close\r\n", False),
        (b"1.1", b"Connection: x-close\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_which_connections_may_be_kept(version, connection, keeps):
    """HTTP/1.1 keeps unless told to close, HTTP/1.0 closes unless told to keep."""
    parser = parse(b"HTTP/%b 200 OK\r\nContent-Length: 0\r\n%b\r\n" % (version, connection))
    assert (parser.complete, parser.keep_alive) == (True, keeps)


def test_bytes_after_the_reply_end_the_connection():
    """Nobody can say what they belong to, so no other call may read them."""
    parser = parse(COUNTED + b"HTTP/1.1 200")
    assert (parser.complete, parser.keep_alive, parser.take_body()) == (True, False, b"hello")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n",
    ],
)
def test_what_is_not_http_is_refused(raw):
    """Leniency here would let two readers disagree about where a reply ends."""
    with pytest.raises(ProtocolViolationError):
        parse(raw, b" " * http1.MAX_CHUNK_LINE_BYTES)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
    ],
)
def test_heads_trailers_and_chunk_lines_are_bounded(start):
    """A peer cannot make the client hold more than the bounds."""
    with pytest.raises(ProtocolViolationError):
        parse(start, *[b"a" * 1024] * 80)


def test_the_body_is_bounded_however_it_comes(monkeypatch):
    """Counted, chunked and unending bodies stop at the same bound."""
    monkeypatch.setattr(http1, "MAX_BODY_BYTES", 10)
    for raw in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n12345678901",
    ):
        with pytest.raises(ProtocolViolationError):
            parse(raw)


def test_interim_replies_have_an_end():
    """A peer that only ever announces a reply is cut off, whatever the deadline; a few are taken."""
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    assert parse(interim * http1.MAX_INTERIM + COUNTED).complete
    with pytest.raises(ProtocolViolationError, match="interim"):
        parse(interim * (http1.MAX_INTERIM + 1))
