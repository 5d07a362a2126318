"""What holds for any patterns and any events: the index answers as its patterns, arrays as Event Ruler walks them.

The oracle for arrays is Event Ruler's own walk, written down again: flattened values in the order of their paths, each
with the elements it lies in, every choice tried. It takes exponential time, so events are small.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluiceway.rules import patterns
from sluiceway.rules.index import PatternIndex, nodes
from sluiceway.rules.patterns import Limits, Pattern
from sluiceway.rules.patterns.addresses import parse_address, parse_block
from sluiceway.rules.patterns.values import InexactNumber, Key, fold, key_of, order_of, read_number
from sluiceway.rules.patterns.ways import Way
from sluiceway.rules.patterns.wildcards import match_pieces, measure_complexity, split_wildcard

NAMES = st.sampled_from(["a", "b", "c", "a-b", "a.b", "b.c", ""])
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "b",
        "ab",
        "abc",
        "ABC",
        "abd",
        "bc",
        "a*b",
        "192.0.2.1",
        "192.0.2.77",
        "2001:db8::1",
        "abcdefghijklmnopqrs",
    ]
)
NUMBERS = st.sampled_from([0, 1, 2, -7, 300, 300.0, 300.5, 1e300, 2**53, 2**53 + 1])
SCALARS = TEXTS | NUMBERS | st.sampled_from([None, True, False])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
EVENTS = st.dictionaries(NAMES, VALUES, max_size=4)

WILDCARDS = st.sampled_from(["*", "a*", "*b", "a*c", "*b*", "abc", "a\\*b"])
CIDRS = st.sampled_from(["192.0.2.0/24", "192.0.2.64/26", "2001:db8::/32", "0.0.0.0/0", "::/0"])
RANGES = st.sampled_from([["<", 300], [">", 1], [">=", 1, "<", 300], [">", -10, "<=", 0], ["=", 300]])
ONE_OR_MORE = TEXTS.filter(bool) | st.lists(TEXTS.filter(bool), min_size=1, max_size=2)
OPERATORS = st.one_of(
    st.fixed_dictionaries({"prefix": TEXTS}),
    st.fixed_dictionaries({"suffix": TEXTS}),
    st.fixed_dictionaries({"prefix": st.fixed_dictionaries({"equals-ignore-case": TEXTS})}),
    st.fixed_dictionaries({"suffix": st.fixed_dictionaries({"equals-ignore-case": TEXTS})}),
    st.fixed_dictionaries({"equals-ignore-case": TEXTS}),
    st.fixed_dictionaries({"exactly": TEXTS}),
    st.fixed_dictionaries({"wildcard": WILDCARDS}),
    st.fixed_dictionaries({"numeric": RANGES}),
    st.fixed_dictionaries({"cidr": CIDRS}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"anything-but": ONE_OR_MORE | st.just([1, 300])}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"prefix": ONE_OR_MORE})}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"suffix": ONE_OR_MORE})}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"equals-ignore-case": ONE_OR_MORE})}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"wildcard": WILDCARDS})}),
)
LISTS = st.lists(SCALARS | OPERATORS, min_size=1, max_size=3)
FIELDS = st.dictionaries(NAMES, LISTS, min_size=1, max_size=3)


def or_of(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"$or": st.lists(inner, min_size=2, max_size=3)})


PATTERNS = st.recursive(
    FIELDS,
    lambda inner: (
        st.dictionaries(NAMES, inner, min_size=1, max_size=2)
        | or_of(inner)
        | st.builds(lambda one, two: one | two, FIELDS, or_of(inner))
    ),
    max_leaves=4,
)
FREE = Limits(wildcard_complexity=100)


# arrays


def walk(
    value: Any, path: str | None, elements: dict[int, int], arrays: list[int]
) -> list[tuple[str, Key, dict[int, int]]]:
    """The flattened values below `path`, each with its key and the elements it lies in."""
    if isinstance(value, dict):
        inner = [(name if path is None else f"{path}.{name}", each, elements) for name, each in value.items()]
    elif isinstance(value, list):
        arrays.append(0)
        array = len(arrays)
        inner = [
            (path, each, elements | {array: index} if isinstance(each, dict | list) else elements)
            for index, each in enumerate(value)
        ]
    else:
        assert path is not None
        return [(path, key_of(value), elements)]
    return [found for at, each, inside in inner for found in walk(each, at, inside, arrays)]


def agree(one: dict[int, int], other: dict[int, int]) -> bool:
    return all(other.get(array, index) == index for array, index in one.items())


def holds(way: Way, flat: list[tuple[str, Key, dict[int, int]]]) -> bool:
    """Event Ruler's walk for one conjunction."""

    def go(position: int, chosen: dict[int, int]) -> bool:
        if position == len(way.fields):
            return True
        field = way.fields[position]
        places = [(key, inside) for path, key, inside in flat if path == field.path and agree(inside, chosen)]
        if field.may_be_absent and not places and go(position + 1, chosen):
            return True
        return any(field.accepts(key) and go(position + 1, chosen | inside) for key, inside in places)

    return go(0, {})


ARRAY_VALUES = st.recursive(
    st.sampled_from([1, 2, "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
ARRAY_LISTS = st.lists(
    st.sampled_from([1, 2, "x", {"exists": False}, {"exists": True}, {"anything-but": 1}]), min_size=1, max_size=2
)
ARRAY_PATTERNS = st.recursive(
    st.dictionaries(NAMES, ARRAY_LISTS, min_size=1, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=2),
    max_leaves=3,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(ARRAY_PATTERNS, min_size=1, max_size=4),
    st.lists(st.dictionaries(NAMES, ARRAY_VALUES, max_size=3), min_size=1, max_size=6),
)
def test_arrays_are_matched_as_event_ruler_walks_them(made: list[Any], events: list[Any]) -> None:
    """Consistency at every depth, `exists: false` in the order of the paths, names with dots in pattern and event."""
    for pattern in map(patterns.compile, made):
        for event in events:
            flat = walk(event, None, {}, [])
            assert pattern.matches(event) is any(holds(way, flat) for way in pattern.ways)


# the index


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, Any]]:
    """Adds, removals and questions, in any order."""
    return draw(
        st.lists(
            st.tuples(st.just("add"), st.integers(0, 30), PATTERNS)
            | st.tuples(st.just("remove"), st.integers(0, 30), st.none())
            | st.tuples(st.just("match"), st.just(0), EVENTS),
            max_size=40,
        )
    )


def play(history: list[tuple[str, int, Any]], last_events: list[Any]) -> None:
    index, single = PatternIndex[int](limits=FREE), dict[int, Pattern]()

    def ask(event: Any) -> None:
        expected = {number for number, pattern in single.items() if pattern.matches(event)}
        assert index.match(event) == expected
        assert index.match(json.dumps(event)) == expected

    for action, number, argument in history:
        if action == "add":
            single[number] = patterns.compile(argument, limits=FREE)
            index.add(number, argument if number % 2 else single[number])
        elif action == "remove" and number in single:
            del single[number]
            index.remove(number)
        elif action == "match":
            ask(argument)
        assert len(index) == len(single)
        assert all(number in index for number in single)
    for event in last_events:
        ask(event)
    for number in single:
        index.remove(number)
    assert (len(index), index._root.size, index._root.tables, index._entries, index._conditions) == (0, 0, {}, {}, {})
    assert index._paths.find({"a": 1, "b": {"c": 1}, "": 1}) == {}


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.lists(EVENTS, min_size=1, max_size=6))
def test_an_index_answers_as_its_patterns_do(history: list[Any], last_events: list[Any]) -> None:
    """After any adds and removals, in any order; and nothing is left behind when all is removed."""
    play(history, last_events)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.lists(EVENTS, min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 2))
def test_also_where_its_tree_is_deep(history: list[Any], last_events: list[Any], split: int, few: int) -> None:
    """The same with nodes that split after few entries, so that small indexes have what large ones have."""
    before = nodes.SPLIT, nodes.FEW
    nodes.SPLIT, nodes.FEW = split, few
    try:
        play(history, last_events)
    finally:
        nodes.SPLIT, nodes.FEW = before


@pytest.mark.parametrize("length", [*range(1, 40), 63, 64, 65, 127, 200, 1000])
def test_affixes_of_any_length_are_found(length: int) -> None:
    """Long ones are looked up by a part of them, and tested whole."""
    text = "".join(chr(97 + number * 7 % 26) for number in range(length))
    made = {
        "prefix": {"prefix": text},
        "suffix": {"suffix": text},
        "folded prefix": {"prefix": {"equals-ignore-case": text.upper()}},
        "folded suffix": {"suffix": {"equals-ignore-case": text.upper()}},
        "head": {"wildcard": f"{text}*!"},
        "tail": {"wildcard": f"!*{text}"},
    }
    index = PatternIndex[str](limits=FREE)
    for name, operator in made.items():
        index.add(name, {"a": [operator]})
    for number in range(40):
        index.add(f"other {number}", {"a": [{"prefix": f"{number}{text}"}, {"suffix": f"{text}{number}"}]})
    assert index.match({"a": f"{text}-?"}) == {"prefix", "folded prefix"}
    assert index.match({"a": f"?-{text}"}) == {"suffix", "folded suffix"}
    assert index.match({"a": f"{text}?{text}"}) == {"prefix", "suffix", "folded prefix", "folded suffix"}
    assert index.match({"a": f"{text}-!"}) == {"prefix", "folded prefix", "head"}
    assert index.match({"a": f"!-{text}"}) == {"suffix", "folded suffix", "tail"}
    assert index.match({"a": text.upper()}) == {"folded prefix", "folded suffix"}
    assert index.match({"a": text[:-1]}) == set()


# the parts


@given(st.text("ab*\\", max_size=12), st.lists(st.text("ab*\\\n", max_size=10), max_size=5))
def test_wildcards_match_as_the_regular_expression_does(wildcard: str, texts: list[str]) -> None:
    """A star is `.*` over all characters; two stars and other escapes are errors."""
    pieces = split_wildcard(wildcard)
    if isinstance(pieces, str):
        assert re.search(r"\*\*|\\", re.sub(r"\\[*\\]", "x", wildcard))
        return
    expression = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
    assert [match_pieces(pieces, text) for text in texts] == [expression.fullmatch(text) is not None for text in texts]


STARRED = st.from_regex(r"[ab]{0,2}\*([ab]{1,3}\*){0,2}[ab]{0,3}", fullmatch=True)
TEXTS_OF_NINE = ["".join(letters) for letters in product("ab", repeat=9)]


@given(st.sets(STARRED, min_size=1, max_size=3))
def test_complexity_is_the_most_prefixes_that_one_text_matches(wildcards: set[str]) -> None:
    """No text of nine letters matches more; one that holds all pieces and ends with the right one matches as many."""
    split = [pieces for text in wildcards if isinstance(pieces := split_wildcard(text), tuple)]
    states = [
        re.compile(".*".join([*map(re.escape, pieces[:stars]), re.escape(pieces[stars][:length])]))
        for pieces in split
        for stars in range(1, len(pieces))
        for length in range(len(pieces[stars]) + 1)
    ]
    everything = "".join(piece for pieces in split for piece in pieces)
    ends = {piece[:length] for pieces in split for piece in pieces[1:] for length in range(len(piece) + 1)}
    telling = [pieces[0] + everything + end for pieces in split for end in ends]

    def count(text: str) -> int:
        return sum(state.fullmatch(text) is not None for state in states)

    counted = measure_complexity(split, limit=1000)
    assert counted == max(map(count, telling))
    assert counted >= max(map(count, TEXTS_OF_NINE))
    assert measure_complexity(split, limit=counted - 1) == counted
    assert measure_complexity(split, limit=1) == min(2, counted)


@given(st.text())
@example("İstanbul, Straße, ẞ, ŉ, ΐ, Ω, K")
def test_folding_keeps_the_length_and_the_prefixes(text: str) -> None:
    """So a folded prefix is the prefix of the folded text."""
    assert len(fold(text)) == len(text)
    assert fold(text[:3]) == fold(text)[:3]
    assert fold(fold(text)) == fold(text)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_the_order_of_numbers_is_theirs(one: float, other: float) -> None:
    """Their 64 bits compare as they do."""
    assert (order_of(one) < order_of(other)) is (one < other)
    assert (order_of(one) == order_of(other)) is (one == other)


JSON_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(JSON_NUMBERS | st.floats(allow_nan=False, allow_infinity=False).map(repr))
def test_a_double_is_named_by_its_shortest_decimal(text: str) -> None:
    """A decimal equal to the one that Python writes is that number; any other is a literal."""
    number = float(text)
    named = math.isfinite(number) and Decimal(text) == Decimal(repr(number))
    assert key_of(read_number(text)) == (number if named else (text,))
    assert isinstance(read_number(text), InexactNumber) is not named
    if re.fullmatch(r"-?[0-9]+", text):
        assert key_of(int(text)) == (number if named else (text,))


@given(st.ip_addresses())
def test_addresses_are_read_as_the_standard_library_reads_them(address: Any) -> None:
    """In both of IPv6's forms; a mapped IPv4 address is the IPv4 address."""
    plain = getattr(address, "ipv4_mapped", None) or address
    texts = {str(plain), plain.exploded} if "." not in str(plain).removeprefix(plain.exploded) else {plain.exploded}
    for text in texts:
        assert parse_address(text) == (plain.version, int(plain))


@given(st.ip_addresses(), st.integers(0, 127))
def test_blocks_hold_the_addresses_of_their_network(address: Any, mask: int) -> None:
    """From the first to the last, host bits of the base left out."""
    import ipaddress

    block = parse_block(f"{address.exploded}/{mask}")
    if getattr(address, "ipv4_mapped", None):
        return
    if mask >= address.max_prefixlen:
        assert isinstance(block, str)
        return
    network = ipaddress.ip_network((address, mask), strict=False)
    assert block == (address.version, int(network[0]), int(network[-1]), address.max_prefixlen - mask)
