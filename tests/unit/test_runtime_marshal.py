"""runtime.marshal: events and replies beside the managed runtime's own marshaller."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.runtime.faults import RuntimeFault
from sluiceway.runtime.marshal import encode_plain, encode_reply, read_event

OFFICIAL = LambdaMarshaller()


class Point(NamedTuple):
    x: int
    y: str


class Level(IntEnum):
    LOW = 1


class Row:
    """Not a tuple, but with a tuple's way to become an object."""

    def _asdict(self) -> dict[str, int]:
        return {"a": 1}


names = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.decimals(allow_infinity=False),
    st.text().map(str.encode),
    st.builds(Point, st.integers(), st.text()),
    st.just(Level.LOW),
    st.just(Row()),
    st.sampled_from([object(), {1, 2}, b"\xff", 1j]),
)
replies = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=3).map(tuple), st.dictionaries(names, inner, max_size=4)
    ),
    max_leaves=12,
)


def outcome(marshal: Any, *arguments: Any) -> Any:
    """What came of it: a value, or the fault's type."""
    try:
        return marshal(*arguments)
    except FaultException as fault:
        return fault.exception_type
    except RuntimeFault as fault:
        return fault.kind


def canonical(made: Any) -> Any:
    """JSON as a value, NaN made comparable; anything else as it is."""
    if isinstance(made, tuple) and made[1] == "application/json":
        return json.loads(made[0], parse_constant=str), made[1]
    return made


@given(replies)
def test_replies_are_what_the_managed_runtime_makes_of_them(reply: Any):
    """The same JSON value and content type, or both refuse it."""
    assert canonical(outcome(encode_reply, reply)) == canonical(outcome(OFFICIAL.marshal_response, reply))


@given(st.one_of(st.binary(max_size=20), replies.map(lambda reply: repr(reply).encode()), st.from_type(int).map(str)))
def test_events_are_what_the_managed_runtime_makes_of_them(payload: Any):
    """The same value, or both refuse it."""
    data = payload.encode() if isinstance(payload, str) else payload

    def comparable(found: Any) -> Any:
        return "nan" if isinstance(found, float) and math.isnan(found) else found

    ours = comparable(outcome(read_event, data, "application/json"))
    assert ours == comparable(outcome(OFFICIAL.unmarshal_request, data, "application/json"))


def test_an_event_of_another_content_type_stays_bytes():
    """As under the managed runtime."""
    assert read_event(b"x,y", "text/csv") == b"x,y"
    assert OFFICIAL.unmarshal_request(b"x,y", "text/csv") == b"x,y"


def test_bytes_are_the_response_itself():
    """Their content type is the managed runtime's."""
    assert encode_reply(b"\xff\0") == (b"\xff\0", "application/unknown")


def test_a_lone_surrogate_is_escaped():
    """The managed runtime's process ends there: its text cannot be sent."""
    assert encode_reply({"a": "\ud800ä"}) == ('{"a": "\\ud800ä"}'.encode(), "application/json")
    assert encode_plain(["\udfff"]) == b'["\\udfff"]'


def test_special_values():
    """Named tuples are objects, tuples arrays, Decimals numbers, bytes text; so are names."""
    reply = OrderedDict(
        {"p": Point(1, "b"), "t": (1, None), "d": Decimal("1.10"), "n": Decimal("NaN"), b"k": b"v", 1.5: True, None: {}}
    )
    expected = '{"p": {"x": 1, "y": "b"}, "t": [1, null], "d": 1.10, "n": NaN, "k": "v", "1.5": true, "null": {}}'
    assert encode_reply(reply) == (expected.encode(), "application/json")


def test_what_holds_itself_is_refused():
    """Neither plainly nor through a tuple does it recurse without end."""
    plain: list[Any] = []
    plain.append(plain)
    mixed: list[Any] = []
    mixed.append((mixed,))
    for reply in (plain, mixed):
        with pytest.raises(RuntimeFault, match="Unable to marshal response"):
            encode_reply(reply)


@pytest.mark.parametrize("reply", [{1, 2}, object(), {"a": b"x"}, {(1,): 2}])
def test_a_codecs_reply_is_made_of_json_alone(reply: Any):
    """What an App's codec gives is not searched for special values."""
    with pytest.raises(RuntimeFault) as caught:
        encode_plain(reply)
    assert caught.value.kind == "Runtime.MarshalError"
