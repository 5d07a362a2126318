"""The DNS wire format: queries read, answers written. Pure.

A query has one question and no answers; of EDNS the size of the client's buffer counts. What is no query is Malformed,
and whoever sent it gets nothing.
Sources: https://www.rfc-editor.org/rfc/rfc1035#section-4 and https://www.rfc-editor.org/rfc/rfc6891#section-6
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from localcloud.services.route53.answers import Answer, Rr
from localcloud.services.route53.domains import MalformedName, join_labels, to_labels
from localcloud.services.route53.records import read_strings

__all__ = ["MAX_UDP_BYTES", "TYPES", "MalformedQuery", "Query", "read_query", "write_answer"]

PLAIN_UDP_BYTES: Final = 512  # RFC 1035, 4.2.1
MAX_UDP_BYTES: Final = 1232  # what DNS flag day 2020 says for every path
TYPES: Final[Mapping[str, int]] = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "TXT": 16, "AAAA": 28, "SRV": 33,
}  # fmt: skip
_NAMES: Final = {number: name for name, number in TYPES.items()}
_OPT: Final = 41
_IN: Final = 1
_RCODES: Final = {"NOERROR": 0, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
_IS_ANSWER: Final = 0x8000
_IS_OURS: Final = 0x0400
_IS_CUT: Final = 0x0200
_WANTS_MORE: Final = 0x0100
_OPCODE: Final = 0x7800
_HEADER: Final = struct.Struct("!6H")
_FIXED: Final = struct.Struct("!HHIH")
_QUESTION_AT: Final = b"\xc0\x0c"  # a pointer to the question's name


class MalformedQuery(ValueError):
    """Bytes that are no query."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `type` is "" for one that Route 53 has no records of; `size` is what the client takes over UDP.

    `name` as in `domains`, "." for the root; `question` are the question's own bytes, which an answer repeats.
    """

    id: int
    opcode: int
    wants_recursion: bool
    name: str
    type: str
    is_internet: bool
    question: bytes
    size: int
    has_edns: bool


def read_query(packet: bytes) -> Query:
    """Raises MalformedQuery."""
    try:
        number, flags, questions, answers, authorities, more = _HEADER.unpack_from(packet)
        if flags & _IS_ANSWER or questions != 1 or answers or authorities:
            raise MalformedQuery("no query with one question")
        name, end = _read_name(packet, _HEADER.size)
        kind, group = struct.unpack_from("!HH", packet, end)
        size, has_edns = _read_edns(packet, end + 4, more)
    except (struct.error, IndexError, MalformedName) as error:
        raise MalformedQuery(str(error)) from error
    return Query(
        id=number,
        opcode=(flags & _OPCODE) >> 11,
        wants_recursion=bool(flags & _WANTS_MORE),
        name=name,
        type=_NAMES.get(kind, ""),
        is_internet=group == _IN,
        question=packet[_HEADER.size : end + 4],
        size=size,
        has_edns=has_edns,
    )


def write_answer(query: Query, answer: Answer, *, limit: int) -> bytes:
    """The packet; what is over `limit` bytes is cut: the client asks again over TCP."""
    packet = _write(query, answer, 0)
    return packet if len(packet) <= limit else _write(query, Answer(answer.rcode), _IS_CUT)


def _write(query: Query, answer: Answer, flags: int) -> bytes:
    flags |= _IS_ANSWER | (query.opcode << 11) | (_WANTS_MORE if query.wants_recursion else 0)
    flags |= _RCODES[answer.rcode] | (_IS_OURS if answer.rcode in {"NOERROR", "NXDOMAIN"} else 0)
    records = b"".join(_write_record(query, record) for record in answer.records)
    authority = _write_record(query, answer.soa) if answer.soa is not None else b""
    edns = b"\0" + _FIXED.pack(_OPT, MAX_UDP_BYTES, 0, 0) if query.has_edns else b""
    counts = (1, len(answer.records), int(bool(authority)), int(query.has_edns))
    return _HEADER.pack(query.id, flags, *counts) + query.question + records + authority + edns


def _write_record(query: Query, record: Rr) -> bytes:
    owner = _QUESTION_AT if record.name == query.name else _write_name(record.name)
    data = _WRITERS[record.type](record.data)
    return owner + _FIXED.pack(TYPES[record.type], _IN, record.ttl, len(data)) + data


def _read_name(packet: bytes, at: int) -> tuple[str, int]:
    """A name that is not compressed: a question stands first, so there is nothing to point to."""
    labels: list[bytes] = []
    while (length := packet[at]) != 0:
        if length > 63 or at + 1 + length > len(packet):
            raise MalformedQuery("a label that is none")
        labels.append(packet[at + 1 : at + 1 + length])
        at += 1 + length
    return join_labels(labels) or ".", at + 1


def _read_edns(packet: bytes, at: int, count: int) -> tuple[int, bool]:
    """The client's UDP size, and whether it speaks EDNS: only an OPT record may stand after the question."""
    if not count:
        return PLAIN_UDP_BYTES, False
    if count > 1 or packet[at] != 0:
        raise MalformedQuery("additional records that are no OPT record")
    kind, size, _, length = _FIXED.unpack_from(packet, at + 1)
    if kind != _OPT or at + 1 + _FIXED.size + length > len(packet):
        raise MalformedQuery("additional records that are no OPT record")
    return min(max(size, PLAIN_UDP_BYTES), MAX_UDP_BYTES), True


def _write_name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in to_labels(name)) + b"\0"


def _write_strings(data: str) -> bytes:
    return b"".join(bytes((len(string),)) + string for string in read_strings(data))


def _write_soa(data: str) -> bytes:
    server, mailbox, *numbers = data.split()
    return _write_name(server) + _write_name(mailbox) + struct.pack("!5I", *map(int, numbers))


def _write_srv(data: str) -> bytes:
    priority, weight, port, target = data.split()
    return struct.pack("!3H", int(priority), int(weight), int(port)) + _write_name(target)


_WRITERS: Final[Mapping[str, Callable[[str], bytes]]] = {
    "A": lambda data: IPv4Address(data).packed,
    "AAAA": lambda data: IPv6Address(data).packed,
    "CNAME": _write_name,
    "NS": _write_name,
    "SOA": _write_soa,
    "SRV": _write_srv,
    "TXT": _write_strings,
}
