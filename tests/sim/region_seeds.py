"""Many seeds of two Regions that share keys, and what a failure says of them."""

from __future__ import annotations

from localcloud.simulation.run import Result

SEEDS = 1_250  # of each part: four parts of `home` and four of `strong` are 10,000


def broken(results: list[Result]) -> list[tuple[int, list[str]]]:
    """The seeds that broke something, with what: the message of a failure."""
    return [
        (result.seed, [f"property {fault.number}: {fault.key} {fault.what}" for fault in result.verdict.faults])
        for result in results
        if result.verdict.faults
    ]


def total(results: list[Result], name: str) -> int:
    return sum(getattr(result.verdict, name) for result in results)
