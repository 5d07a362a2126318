"""What all kinds of tests share: the order of files, what the collector of garbage leaves alone, how many examples."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Sequence
from itertools import chain

import pytest
from hypothesis import settings

if "CI" in os.environ:  # the same examples each time there, so fewer; by hand each run has 100 others
    settings.register_profile("sluiceway-ci", settings.get_profile("ci"), max_examples=40)
    settings.load_profile("sluiceway-ci")

# Begun first, beside all others: minutes and half minutes of waiting for alarms, names, metrics and what builds.
LONGEST = (
    "tests/local/test_rehearsal.py",
    "tests/local/test_named_regions.py",
    "tests/local/test_sam_build.py",
    "tests/browser/test_local_streams.py",
    "tests/browser/test_local_regions.py",
    "tests/local/test_identity_provider.py",
)
BEHIND = ("tests/unit/test_clock.py",)  # xdist gives the next file at once to who has one test: it waits for minutes
WAITING = ("tests/browser/", "tests/local/")  # for clocks, sockets and processes of their own; the others compute
COMPUTING = ("tests/sim/",)  # and these for long


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
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    first = [files.pop(name) for name in (*LONGEST, *BEHIND) if name in files]
    kinds: dict[str, list[list[pytest.Item]]] = {"waiting": [], "computing": [], "short": []}
    for name, tests in files.items():
        kinds[_kind_of(name)].append(tests)
    items[:] = chain.from_iterable(chain(first, _by_turns(*kinds.values())))


def _kind_of(name: str) -> str:
    return "waiting" if name.startswith(WAITING) else "computing" if name.startswith(COMPUTING) else "short"


def _by_turns(*kinds: Sequence[list[pytest.Item]]) -> list[list[pytest.Item]]:
    """Each in its order, spread evenly over the whole."""
    placed = [(at / len(kind), number, tests) for number, kind in enumerate(kinds) for at, tests in enumerate(kind)]
    return [tests for _, _, tests in sorted(placed, key=lambda place: place[:2])]
