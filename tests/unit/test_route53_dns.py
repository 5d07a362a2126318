"""The DNS codec and the name server's judgement of packets: answers as clients read them, bytes that are no query."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.route53.answers import Answer, Resolver, Rr
from localcloud.services.route53.dns import MalformedQuery, read_query, write_answer
from localcloud.services.route53.domains import MalformedName, join_labels, read_name, shared_suffix, to_labels
from localcloud.services.route53.nameserver import answer_packet
from localcloud.services.route53.records import read_strings
from localcloud.services.route53.zones import Zone, apply_changes
from tests.unit.route53_setup import EAST, World, alias, read_reply, record, write_query

LABEL = st.binary(min_size=1, max_size=63)
NAME = st.lists(LABEL, min_size=1, max_size=4).filter(lambda labels: sum(map(len, labels)) < 240)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=255)


def resolver(*zones: Zone) -> Resolver:
    return Resolver(lambda: zones, lambda _check: True, places=World(), rng=random.Random(1))


def example() -> Zone:
    """A zone with an alias, a text and an address."""
    zone = Zone("Z1", "example.com.", "x")
    texts = [f'"{number:0>200}"' for number in range(8)]
    changes = [
        alias("api.example.com", EAST),
        record("big.example.com", "TXT", values=texts),
        record("a.example.com", "AAAA", values=["2001:db8::1"]),
    ]
    apply_changes(zone, changes)
    return zone


@given(NAME)
def test_a_name_is_its_labels_whatever_bytes_they_are(labels: list[bytes]) -> None:
    """Written and read again; in lower case, since case means nothing."""
    name = join_labels(labels)
    assert to_labels(name) == tuple(label.lower() for label in labels)
    assert read_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("API.Example.com", "api.example.com."),
        ("*.example.com.", "\\052.example.com."),
        ("\\052.example.com", "\\052.example.com."),
        ("_x-1.example.com", "_x-1.example.com."),
    ],
)
def test_names_are_written_as_route_53_does(text: str, name: str) -> None:
    """In lower case, with the last dot; what is no letter, digit, hyphen or underscore in octal."""
    assert read_name(text) == name


@pytest.mark.parametrize("text", ["", ".", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "a b", "ä.de", "\\777.de"])
def test_what_is_no_name(text: str) -> None:
    """Empty or long labels, long names, bytes that have to be escaped and are not."""
    with pytest.raises(MalformedName):
        read_name(text)


def test_a_shared_suffix_is_of_whole_labels() -> None:
    """`xample.com` is no suffix of `example.com`."""
    assert shared_suffix(["a.b.example.com.", "b.example.com."]) == "b.example.com."
    assert shared_suffix(["a.example.com.", "a.xample.com."]) == "com."
    assert shared_suffix(["a.org.", "a.com."]) == shared_suffix([]) == ""


@given(labels=NAME, number=st.integers(0, 65_535), edns=st.sampled_from([0, 100, 512, 900, 4096]))
def test_a_query_is_read_as_it_was_written(labels: list[bytes], number: int, edns: int) -> None:
    """Number, name, type, and how much the client takes: never less than 512 bytes, never more than 1,232."""
    query = read_query(write_query(join_labels(labels), "TXT", number=number, edns=edns))
    assert (query.id, query.name, query.type) == (number, join_labels(labels), "TXT")
    assert query.wants_recursion
    assert query.size == min(max(edns, 512), 1232)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_query_or_malformed(packet: bytes) -> None:
    """Nothing else is raised, and what is read is answered with a packet that can be read."""
    zone = example()
    answer = answer_packet(resolver(zone), packet, over_tcp=False)
    if answer is not None:
        assert read_reply(answer).number == int.from_bytes(packet[:2])


@given(cut=st.integers(0, 60), flip=st.integers(0, 60), bit=st.integers(0, 7))
def test_damaged_queries_are_dropped_or_answered(cut: int, flip: int, bit: int) -> None:
    """A cut packet is dropped; one with a bit turned is either, and no error."""
    packet = bytearray(write_query("api.example.com.", edns=1232))
    with pytest.raises(MalformedQuery):
        read_query(bytes(packet[: min(cut, len(packet) - 1)]))
    packet[min(flip, len(packet) - 1)] ^= 1 << bit
    answer_packet(resolver(example()), bytes(packet), over_tcp=True)


@given(
    addresses=st.lists(st.ip_addresses(v=4), max_size=5),
    texts=st.lists(TEXT, min_size=1, max_size=3),
    ttl=st.integers(0, 2_147_483_647),
)
def test_an_answer_is_read_as_it_was_written(addresses: list[object], texts: list[str], ttl: int) -> None:
    """Owner, type, TTL and data of each record."""
    query = read_query(write_query("a.example.com."))
    text = " ".join(f'"{each}"' for each in texts)
    records = [Rr("a.example.com.", "A", ttl, str(each)) for each in addresses]
    records += [Rr("b.example.com.", "CNAME", ttl, "c.example.com."), Rr("c.example.com.", "TXT", ttl, text)]
    reply = read_reply(write_answer(query, Answer(records=tuple(records)), limit=65_535))
    data = b"".join(bytes((len(each),)) + each.encode() for each in texts)
    assert reply.answers == [
        *(("a.example.com.", "A", ttl, str(each)) for each in addresses),
        ("b.example.com.", "CNAME", ttl, "c.example.com."),
        ("c.example.com.", "TXT", ttl, data),
    ]


def ask(name: str, kind: str | int = "A", *, over_tcp: bool = False, edns: int = 0, flags: int = 0x0100) -> bytes:
    answer = answer_packet(resolver(example()), write_query(name, kind, edns=edns, flags=flags), over_tcp=over_tcp)
    assert answer is not None
    return answer


def test_an_alias_answers_with_loopback_for_a_minute() -> None:
    """Authoritative, without recursion; the question is repeated."""
    reply = read_reply(ask("api.example.com."))
    assert reply.answers == [("api.example.com.", "A", 60, "127.0.0.1")]
    assert reply.flags & 0x8580 == 0x8500  # an answer, authoritative, recursion wanted and not available
    assert read_reply(ask("_http._tcp.api.example.com.", "SRV")).answers == [
        ("_http._tcp.api.example.com.", "SRV", 60, (0, 0, 4611, "api.example.com."))
    ]


def test_rcodes() -> None:
    """NXDOMAIN and NODATA with the SOA, REFUSED for what is in no zone here, NOTIMP for what is no plain query."""
    assert [read_reply(ask(name)).rcode for name in ("no.example.com.", "a.example.com.", "example.org.")] == [3, 0, 5]
    for name in ("no.example.com.", "a.example.com."):
        ((owner, kind, ttl, _),) = read_reply(ask(name)).authority
        assert (owner, kind, ttl) == ("example.com.", "SOA", 900)
    assert read_reply(ask("api.example.com.", flags=0x2800)).rcode == 4
    assert read_reply(ask("api.example.com.", 255)).answers == []
    chaos = bytearray(write_query("api.example.com."))
    chaos[-2:] = struct.pack("!H", 3)
    assert read_reply(answer_packet(resolver(example()), bytes(chaos), over_tcp=False) or b"").rcode == 5


def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp() -> None:
    """Past 512 bytes, or what EDNS says: no records, and the bit that sends the client to TCP."""
    cut, whole = ask("big.example.com.", "TXT", edns=900), ask("big.example.com.", "TXT", over_tcp=True)
    assert read_reply(cut).flags & 0x0200
    assert (read_reply(cut).answers, len(read_reply(whole).answers)) == ([], 8)
    assert not read_reply(whole).flags & 0x0200


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        write_query("a.example.com.", flags=0x8000),  # an answer
        write_query("a.example.com.") + b"\0" * 1100,
        struct.pack("!6H", 1, 0, 2, 0, 0, 0) + write_query("a.example.com.")[12:] * 2,
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a pointer in a question
        struct.pack("!6H", 1, 0, 1, 0, 0, 1) + write_query("a.example.com.")[12:],
    ],
)
def test_what_is_no_query_gets_no_answer(packet: bytes) -> None:
    """Answers, several questions, pointers, counts that lie, long packets."""
    assert answer_packet(resolver(example()), packet, over_tcp=True) is None


@pytest.mark.parametrize(
    ("value", "strings"),
    [
        ('"a" "b"', (b"a", b"b")),
        ('"say \\"hi\\""', (b'say "hi"',)),
        ('"\\344"', (b"\xe4",)),
        ('""', (b"",)),
    ],
)
def test_texts_are_read_without_quotes_and_escapes(value: str, strings: tuple[bytes, ...]) -> None:
    """As Route 53's page on TXT values has them."""
    assert read_strings(value) == strings


@pytest.mark.parametrize("value", ["bare", '"open', f'"{"a" * 256}"', "", '"ä€"'])
def test_what_is_no_text(value: str) -> None:
    """Without quotes, too long, or with characters that have to be escaped."""
    with pytest.raises(MalformedName):
        read_strings(value)
