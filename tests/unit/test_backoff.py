"""How long a returning message waits: the numbers, and that no input leads out of the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.ports import SystemChance
from sluiceway.rules.backoff import FIRST_S, LONGEST_S, MENDING_FIRST_S, choose_return_s


@pytest.mark.parametrize(
    ("receive_count", "least_s", "most_s"), [(1, 1, 2), (2, 4, 8), (3, 16, 32), (4, 64, 128), (5, 150, 300)]
)
def test_waits_grow_fourfold_and_lie_in_the_upper_half(receive_count: int, least_s: int, most_s: int) -> None:
    """Six deliveries reach over four to eight minutes, the first of them within two seconds."""
    waits = [choose_return_s(receive_count=receive_count, chance=chance, longest_s=360) for chance in (0.0, 1.0)]
    assert waits == [least_s, most_s]


@pytest.mark.parametrize(("receive_count", "most_s"), [(1, 60), (2, 240), (3, 300), (6, 300)])
def test_a_deployment_gets_minutes_to_be_mended(receive_count: int, most_s: int) -> None:
    """Starting at a minute, six deliveries last about twenty."""
    wait_s = choose_return_s(receive_count=receive_count, chance=1.0, longest_s=360, first_s=MENDING_FIRST_S)
    assert wait_s == most_s


@pytest.mark.parametrize(
    ("after_s", "receive_count", "wait_s"),
    [(None, 1, 2), (0.0, 1, 2), (7.2, 1, 8), (65.0, 1, 65), (0.1, 3, 32), (1e9, 1, 300)],
)
def test_what_somebody_knows_is_the_least(after_s: float | None, receive_count: int, wait_s: int) -> None:
    """Whole seconds, rounded up; an advice that is always tiny does not use up the deliveries in seconds."""
    assert choose_return_s(receive_count=receive_count, chance=1.0, longest_s=360, after_s=after_s) == wait_s


@pytest.mark.parametrize(("longest_s", "wait_s"), [(360, 128), (30, 30), (30.9, 30), (1, 1), (0, 0)])
def test_the_queues_own_wait_is_the_longest(longest_s: float, wait_s: int) -> None:
    """A longer wait than the visibility timeout would be worse than none asked for."""
    assert choose_return_s(receive_count=4, chance=1.0, longest_s=longest_s) == wait_s


@given(
    st.integers(-5, 2_000_000_000),
    st.floats(0, 1),
    st.floats(0, 43_200),
    st.none() | st.floats(0, 1e300),
    st.sampled_from([FIRST_S, MENDING_FIRST_S]),
)
def test_every_wait_is_within_its_bounds(
    receive_count: int, chance: float, longest_s: float, after_s: float | None, first_s: float
) -> None:
    """1 to 300 whole seconds, never more than the queue's own wait, whatever came in."""
    wait_s = choose_return_s(
        receive_count=receive_count, chance=chance, longest_s=longest_s, after_s=after_s, first_s=first_s
    )
    assert min(1, int(longest_s)) <= wait_s <= min(LONGEST_S, longest_s)


@given(st.integers(1, 20), st.floats(0, 1))
def test_a_later_delivery_never_waits_less(receive_count: int, chance: float) -> None:
    """For the same chance the waits only grow."""
    first = choose_return_s(receive_count=receive_count, chance=chance, longest_s=360)
    assert first <= choose_return_s(receive_count=receive_count + 1, chance=chance, longest_s=360)


def test_the_machines_chance_is_spread() -> None:
    """Draws lie in 0 to 1 and differ."""
    draws = {SystemChance().draw() for _ in range(100)}
    assert all(0 <= draw <= 1 for draw in draws)
    assert len(draws) > 50
