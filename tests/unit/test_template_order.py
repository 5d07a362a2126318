"""Steps in the order of what they need, the slow ones beside the others."""

from __future__ import annotations

import asyncio

import pytest

from localcloud.clock import run_virtual
from localcloud.template.order import run_in_order


def _run(needs: dict[str, list[str]], *, slow: dict[str, float], fails: str = "") -> list[str]:
    history: list[str] = []

    async def step(name: str) -> None:
        try:
            await asyncio.sleep(slow.get(name, 1))
        except asyncio.CancelledError:
            history.append(f"!{name}")
            raise
        if name == fails:
            raise ValueError(name)
        history.append(f"{name}@{asyncio.get_running_loop().time():g}")

    async def main() -> None:
        await run_in_order(needs, step, slow=slow)

    try:
        run_virtual(main)
    except ValueError as error:
        history.append(f"raised {error}")
    return history


def test_what_waits_holds_up_only_what_needs_it() -> None:
    """Two slow steps overlap with each other and with the rest; the quick ones keep their order."""
    needs = {"a": [], "s": ["a"], "t": [], "b": [], "after": ["s"], "c": ["b"]}
    assert _run(needs, slow={"s": 10, "t": 10}) == ["a@1", "b@2", "c@3", "t@11", "s@11", "after@12"]


@pytest.mark.parametrize("fails", ["s", "b"])
def test_the_first_failure_ends_it_as_itself(fails: str) -> None:
    """Its own error comes out; what was under way is cancelled, the rest is not begun."""
    needs = {"s": [], "t": [], "b": ["s"], "c": ["b"]}
    assert _run(needs, slow={"s": 2, "t": 10}, fails=fails) == (
        ["!t", "raised s"] if fails == "s" else ["s@2", "!t", "raised b"]
    )
