"""What all log groups keep together has a bound."""

from __future__ import annotations

from localcloud.clock import SystemClock
from localcloud.services.logs.model import MAX_KEPT_CHARS, Logs


def test_the_largest_group_loses_its_oldest_events() -> None:
    """Many groups below their own limit stay below the bound of all; the newest events and small groups stay whole."""
    logs = Logs(clock=SystemClock())
    logs.append("small", "s", "kept")
    message = "x" * 10_000
    for number in range(4_000):
        logs.append(f"large-{number % 4}", "s", f"{number} {message}")
    kept = {group.name: [event.message for event in group.events] for group in logs.groups()}
    assert kept["small"] == ["kept"]
    assert sum(len(text) for texts in kept.values() for text in texts) <= MAX_KEPT_CHARS * 1.2
    assert [kept[f"large-{number % 4}"][-1].split()[0] for number in range(3996, 4000)] == [
        "3996",
        "3997",
        "3998",
        "3999",
    ]
    assert all(len(texts) > 500 for name, texts in kept.items() if name != "small")
