"""What all kinds of tests share: in which order files are begun."""

from __future__ import annotations

import pytest

LONGEST = ("tests/local/test_rehearsal.py",)  # minutes of waiting for alarms and names: begun first, beside all others


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the others stay in their order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
