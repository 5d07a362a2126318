"""What all kinds of tests share: in which order files are begun, and what the garbage collector leaves alone."""

from __future__ import annotations

import gc
from collections.abc import Generator, Sequence
from itertools import chain, groupby

import pytest

LONGEST = ("tests/local/test_rehearsal.py",)  # minutes of waiting for alarms and names: begun first, beside all others
WAITING = ("tests/browser/", "tests/local/")  # for clocks, sockets and processes of their own; the others compute


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What tests are made of stays to the end: the collector looks through it neither while it grows nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait and files that compute by turns, so that cores have work while others wait."""
    files = [(name, list(tests)) for name, tests in groupby(items, key=_file_of)]
    first = [tests for name, tests in files if name.startswith(LONGEST)]
    waiting = [tests for name, tests in files if name.startswith(WAITING) and not name.startswith(LONGEST)]
    computing = [tests for name, tests in files if not name.startswith(WAITING)]
    items[:] = chain.from_iterable(chain(first, _by_turns(waiting, computing)))


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _by_turns(few: Sequence[list[pytest.Item]], many: Sequence[list[pytest.Item]]) -> list[list[pytest.Item]]:
    """Both in their order, spread evenly over the whole."""
    placed = [
        (at / len(part), number, tests) for number, part in enumerate((few, many)) for at, tests in enumerate(part)
    ]
    return [tests for _, _, tests in sorted(placed, key=lambda place: place[:2])]
