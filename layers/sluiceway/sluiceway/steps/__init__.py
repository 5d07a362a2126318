"""Steps: what a function's `app.py` lists around its flow, at most five, outermost first.

A step is a function from what comes next to what the App calls instead, folded once when the environment opens: work
and imports in its body happen at init, not in an invocation. Each module of this package holds the step of its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sluiceway.events.invocation import Invocation

__all__ = ["Next", "Step"]

Next = Callable[[object, Invocation], Awaitable[object]]
"""The rest of the way: takes the typed event and the invocation, gives the flow's reply."""

Step = Callable[[Next], Next]
