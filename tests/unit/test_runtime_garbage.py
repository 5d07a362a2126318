"""The garbage collector while a function starts."""

from __future__ import annotations

import gc

import pytest

from sluiceway.runtime import garbage


@pytest.fixture(autouse=True)
def collector():
    """The collector as it was, whatever a test makes of it."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_it_waits_until_it_is_taken_up():
    """What lives by then is left out of later collections, and the usual thresholds are back."""
    usual = gc.get_threshold()
    garbage.put_off()
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 100 * usual[0]
    garbage.take_up()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > 0


def test_a_handler_that_sets_the_collector_its_own_way_keeps_that():
    """Thresholds of its own stay, and nothing is frozen."""
    garbage.put_off()
    gc.set_threshold(5_000, 20, 20)
    garbage.take_up()
    assert gc.get_threshold() == (5_000, 20, 20)
    assert gc.get_freeze_count() == 0
