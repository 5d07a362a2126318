"""One table for each question: rows with a ratio, and the verdict on a budget."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first columns left, numbers right, as wide as they need to be."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    numeric = [all(row[at][:1].isdigit() or not row[at] for row in rows) for at in range(len(head))]
    for row in (head, *rows):
        cells = [text.rjust(w) if right else text.ljust(w) for text, w, right in zip(row, widths, numeric, strict=True)]
        print("  ".join(cells).rstrip())


def pair(measured: Sequence[float], peer: Sequence[float]) -> float:
    """The median of the rounds' own ratios: what ran at the same time ran on a machine of the same speed."""
    return statistics.median(mine / theirs for mine, theirs in zip(measured, peer, strict=True))


def print_verdict(what: str, *, measured: float, budget: float) -> None:
    """`measured` is to be at most `budget`."""
    verdict = "met" if measured <= budget else "NOT met"
    print(f"budget {verdict}: {what}: {measured:.3f}, at most {budget:.3f}")
