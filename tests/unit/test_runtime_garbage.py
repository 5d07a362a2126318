"""The garbage collector while a function starts."""

from __future__ import annotations

import gc

import pytest

from sluiceway.runtime import garbage


@pytest.fixture(autouse=True)
def collector():
    """Thresholds as in a process of its own, and afterwards as they were; what is frozen stays so."""
    before = gc.get_threshold()
    gc.set_threshold(*garbage._USUAL)
    yield
    gc.set_threshold(*before)


def test_it_waits_until_it_is_taken_up():
    """What lives by then is left out of later collections, and the usual thresholds are back."""
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    made = [[]]
    garbage.put_off()
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 100 * usual[0]
    garbage.take_up()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > frozen
    assert not any(each is made for each in gc.get_objects())


def test_a_handler_that_sets_the_collector_its_own_way_keeps_that():
    """Thresholds of its own stay, and nothing is frozen."""
    frozen = gc.get_freeze_count()
    garbage.put_off()
    gc.set_threshold(5_000, 20, 20)
    garbage.take_up()
    assert gc.get_threshold() == (5_000, 20, 20)
    assert gc.get_freeze_count() == frozen
