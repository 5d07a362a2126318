"""Work that no other resource is needed for runs side by side before a stack is made."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from localcloud.compute.ahead import MAX_AT_ONCE, run_side_by_side
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource
from localcloud.template.stack import stack_context
from sluiceway.errors import Misconfigured


def resources(count: int) -> list[Resource]:
    return [Resource(f"R{number}", "T::S::R", {}, stack_context(Path())) for number in range(count)]


async def test_four_at_a_time() -> None:
    """Four meet in their work, twice; a fifth is never there at once."""
    meeting = threading.Barrier(MAX_AT_ONCE)
    lock, inside, most = threading.Lock(), 0, 0

    def work(_: Resource) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        meeting.wait(timeout=10)
        with lock:
            inside -= 1

    await run_side_by_side(resources(2 * MAX_AT_ONCE), work, place="Code")
    assert (inside, most) == (0, MAX_AT_ONCE)


async def test_the_first_that_fails_is_named_when_all_have_ended() -> None:
    """With its resource and the property that is at fault."""
    done: list[str] = []

    def work(resource: Resource) -> None:
        if resource.logical_id in {"R1", "R2"}:
            raise Misconfigured("could not install", what=resource.logical_id)
        done.append(resource.logical_id)

    with pytest.raises(TemplateError) as failed:
        await run_side_by_side(resources(4), work, place="Code")
    assert failed.value.where == "Resources.R1.Properties.Code"
    assert sorted(done) == ["R0", "R3"]
