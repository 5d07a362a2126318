"""Filter policies of SNS subscriptions: which messages of a topic reach a subscriber.

    policy = FilterPolicy('{"kind": ["order"], "total": [{"numeric": [">", 100]}]}')
    policy.keep("", {"kind": Value("String", "order"), "total": Value("Number", "120")})

The language is that of `sluiceway.rules.patterns`, less the operators that SNS does not have, with SNS's own limits:
five keys (of a nested policy, its leaves), 150 combinations of values (each list counts its length times its depth; the
ways of a `$or` add up), wildcards by points, numbers of a billion with five decimals. A message that has nothing to
compare, no attribute or no JSON object as its body, is kept by the empty policy alone. docs/fidelity/sns.md lists what
was decided where SNS's pages are silent or contradict each other. Must not know topics, or how messages travel.
Sources: https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html and the pages of
https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple, Protocol, cast, get_args

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.patterns import OPERATORS, InvalidPattern, Limits, Pattern
from sluiceway.rules.patterns.decoding import Members, decode_json, members_of, read_pattern
from sluiceway.rules.patterns.syntax import OR, is_or, read_ways
from sluiceway.rules.patterns.values import InexactNumber
from sluiceway.rules.patterns.ways import Way

__all__ = ["MAX_COMBINATIONS", "MAX_KEYS", "MAX_POLICY_BYTES", "Attribute", "FilterPolicy", "Scope"]

Scope = Literal["MessageAttributes", "MessageBody"]

MAX_KEYS: Final = 5  # subscription-filter-policy-constraints, as the four below
MAX_COMBINATIONS: Final = 150
MAX_POLICY_BYTES: Final = 256 * 1024
MAX_NUMBER: Final = 1_000_000_000
MAX_DECIMALS: Final = 5
MAX_STARS: Final = 3  # string-value-matching, "Wildcard matching": of one pattern
MAX_POINTS: Final = 100  # the same: of all fields, see `_points_of`
_MANY_STARS_POINTS: Final = 3  # the same: each star of a pattern that has more than one

# What SNS's pages do not have, AWS refuses ("Unsupported anything-but pattern: suffix")
_NOT_SERVED: Final = {
    "anything-but equals-ignore-case",
    "anything-but suffix",
    "exactly",
    "prefix equals-ignore-case",
    "suffix equals-ignore-case",
}
_LIMITS: Final = Limits(
    combinations=MAX_COMBINATIONS,
    wildcard_complexity=10_000,  # SNS counts points in its place
    largest_number=MAX_NUMBER,
    operators=OPERATORS - _NOT_SERVED,
    or_may_be_a_name=True,
    exists_means_filled=True,
)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ARRAYS: Final = ("String.Array", "Number.Array")


class Attribute(Protocol):
    """A message attribute, as SNS's API has it: `value` is bytes for the Binary types, text for the others."""

    @property
    def data_type(self) -> str:
        """`String`, `String.Array`, `Number`, `Binary`, or one of them with a label of the publisher's own."""
        ...

    @property
    def value(self) -> str | bytes:
        """The value."""
        ...


class FilterPolicy:
    """The filter policy of one subscription, compiled."""

    __slots__ = ("_pattern", "_scope")

    def __init__(self, policy: str | bytes | Mapping[str, object], scope: Scope = "MessageAttributes") -> None:
        """`policy`: JSON text or decoded JSON; `{}` keeps everything.

        Raises: InvalidPattern for what SNS refuses, with the path in the policy; Misconfigured for another `scope`.
        """
        if scope not in get_args(Scope):
            raise Misconfigured(f"there is no filter policy scope {scope!r}", what="scope")
        self._scope: Scope = scope
        members = _read(policy)
        self._pattern = Pattern(_read_ways(policy, members, scope)) if members else None

    def keep(self, message: str, attributes: Mapping[str, Attribute]) -> bool:
        """Whether a message reaches the subscriber; one that patterns cannot decide (`ambiguous-event`) does not."""
        if self._pattern is None:
            return True
        view = _view_attributes(attributes) if self._scope == "MessageAttributes" else _view_body(message)
        try:
            return bool(view) and self._pattern.matches(view)
        except Rejected:
            return False


# ---------------------------------------------------------------------- the policy


def _read(policy: str | bytes | Mapping[str, object]) -> Members:
    if isinstance(policy, str | bytes):
        size = len(policy if isinstance(policy, bytes) else policy.encode(errors="surrogatepass"))
        if size > MAX_POLICY_BYTES:
            raise InvalidPattern(f"it has more than {MAX_POLICY_BYTES} bytes", reason="too-long")
    return read_pattern(policy)


def _read_ways(policy: str | bytes | Mapping[str, object], members: Members, scope: Scope) -> tuple[Way, ...]:
    """Hold the policy against the language, which bounds its depth, and then against SNS's limits."""
    try:
        ways = read_ways(policy, _LIMITS)
    except InvalidPattern as error:
        if error.reason == "too-many-combinations":
            raise _too_complex() from None
        raise
    if scope == "MessageAttributes":
        _check_flat(members)
    leaves = list(_leaves(members))
    if len({leaf.path for leaf in leaves}) > MAX_KEYS:
        raise InvalidPattern(f"Filter policy can not have more than {MAX_KEYS} keys", reason="too-many-keys")
    if _count_combinations(members, 1, depth=1) > MAX_COMBINATIONS:
        raise _too_complex()
    for leaf in leaves:
        _check_numbers(leaf.path, leaf.values)
    if sum(_points_of(leaf) for leaf in leaves) > MAX_POINTS:
        raise InvalidPattern(f"its wildcards cost more than {MAX_POINTS} points", reason="wildcard-points")
    return ways


def _too_complex() -> InvalidPattern:
    return InvalidPattern("Filter policy is too complex", reason="too-complex")


class _Leaf(NamedTuple):
    """A list of conditions, and the names that lead to it joined with dots."""

    path: str
    values: Sequence[object]


def _check_flat(members: Members) -> None:
    for name, value in members:
        if name == OR and is_or(value):
            for option in cast("Sequence[object]", value):
                _check_flat(members_of(option) or ())
        elif members_of(value) is not None:
            raise InvalidPattern(
                "Filter policy scope MessageAttributes does not support nested filter policy",
                reason="nested",
                path=name,
            )


def _leaves(members: Members, prefix: str = "") -> Iterator[_Leaf]:
    for name, value in members:
        if name == OR and is_or(value):
            for option in cast("Sequence[object]", value):
                yield from _leaves(members_of(option) or (), prefix)
        elif (inner := members_of(value)) is not None:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield _Leaf(f"{prefix}{name}", cast("Sequence[object]", value))


def _count_combinations(members: Members, so_far: int, *, depth: int) -> int:
    """The product of each list's length and depth; where a `$or` parts the ways, the sum of theirs."""
    for name, value in members:
        if name == OR and is_or(value):
            options = [members_of(option) or () for option in cast("Sequence[object]", value)]
            so_far = sum(_count_combinations(option, so_far, depth=depth) for option in options)
        elif (inner := members_of(value)) is not None:
            so_far = _count_combinations(inner, so_far, depth=depth + 1)
        else:
            so_far *= len(cast("Sequence[object]", value)) * depth
    return so_far


def _check_numbers(path: str, value: object) -> None:
    if isinstance(value, int | float):
        if abs(value) > MAX_NUMBER:
            raise InvalidPattern(f"numbers go from -{MAX_NUMBER} to {MAX_NUMBER}", reason="large-number", path=path)
        if isinstance(value, float) and not _is_short(value):
            raise InvalidPattern(f"numbers have at most {MAX_DECIMALS} decimals", reason="decimals", path=path)
    elif isinstance(value, list | tuple):
        for each in cast("Sequence[object]", value):
            _check_numbers(path, each)
    else:
        for _, inner in members_of(value) or ():
            _check_numbers(path, inner)


def _is_short(value: float) -> bool:
    number = Decimal(value.text if isinstance(value, InexactNumber) else repr(value))
    return number == round(number, MAX_DECIMALS)


def _points_of(leaf: _Leaf) -> int:
    """What the wildcards of one list cost: the sum of their points times their number.

    One star is one point, each of several three; an anything-but of a wildcard is one. Raises: InvalidPattern.
    """
    points: list[int] = []
    for value in leaf.values:
        for name, operand in members_of(value) or ():
            if name == "wildcard":
                stars = _count_stars(leaf.path, operand)
                points += [stars if stars == 1 else stars * _MANY_STARS_POINTS] if stars else []
            elif name == "anything-but" and (inner := members_of(operand)) is not None:
                points += [1 for each, texts in inner if each == "wildcard" and _count_stars(leaf.path, texts)]
    return sum(points) * len(points)


def _count_stars(path: str, operand: object) -> int:
    """The stars of a wildcard; of a list, of the one that has most."""
    texts = cast("Sequence[str]", operand) if isinstance(operand, list | tuple) else [cast("str", operand)]
    most = max(re.sub(r"\\.", "", text).count("*") for text in texts)
    if most > MAX_STARS:
        raise InvalidPattern(f"a wildcard has at most {MAX_STARS} stars", reason="wildcard-stars", path=path)
    return most


# ---------------------------------------------------------------------- the message


def _view_body(message: str) -> Mapping[str, object]:
    """The message as an event; empty where it is no JSON object."""
    try:
        decoded = decode_json(message)
    except ValueError:
        return {}
    return cast("Mapping[str, object]", decoded) if isinstance(decoded, dict) else {}


def _view_attributes(attributes: Mapping[str, Attribute]) -> Mapping[str, object]:
    """The attributes as an event; those that are Binary are not compared."""
    return {
        name: _value_of(attribute.data_type, attribute.value)
        for name, attribute in attributes.items()
        if isinstance(attribute.value, str)
    }


def _value_of(data_type: str, value: str) -> object:
    if data_type in _ARRAYS:
        try:
            decoded = decode_json(value)
        except ValueError:
            return ()
        return cast("object", decoded) if isinstance(decoded, list) else ()
    if data_type.partition(".")[0] == "Number" and _NUMBER.fullmatch(value):
        return _read_number(value)
    return value


def _read_number(text: str) -> object:
    try:
        return decode_json(text)
    except ValueError:  # SNS takes +1, .5 and 007, JSON does not
        return float(text)
