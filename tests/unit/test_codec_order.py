"""codec.order: the payload of a stream worker's invocation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import order
from sluiceway.errors import Rejected
from sluiceway.events.socket import StreamOrder


@given(caller=st.text(min_size=1), req=st.text(min_size=1))
def test_orders_read_back(caller: str, req: str) -> None:
    """What is sent is what the worker gets."""
    sent = StreamOrder(caller, req)
    assert order.decode(json.loads(json.dumps(order.encode_order(sent)))) == sent


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (None, "root"),
        ([], "root"),
        ({}, "caller"),
        ({"caller": "ann"}, "req"),
        ({"caller": 1, "req": "r1"}, "caller"),
        ({"caller": "", "req": "r1"}, "caller"),
        ({"caller": "ann", "req": ""}, "req"),
        ({"caller": "ann", "req": ["r1"]}, "req"),
    ],
)
def test_anything_else_is_malformed(raw: object, field: str) -> None:
    """The member is named."""
    with pytest.raises(Rejected) as caught:
        order.decode(raw)
    assert (caught.value.reason, caught.value.field) == ("malformed-event", field)


def test_a_worker_says_nothing() -> None:
    """Nobody waits for it; whom it works for is in the answer's record."""
    assert order.encode(None) is None
    assert order.correlation_id(StreamOrder("ann", "r1")) == ""
