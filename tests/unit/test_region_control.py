"""What is asked of the host of several Regions beside AWS's APIs: bad orders are refused, and one is done at a time."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession

from localcloud.clock import run_virtual
from localcloud.compute.reaper import Reaper
from localcloud.front import Front
from localcloud.identity import IdentityProvider
from localcloud.parts.ports import listen
from localcloud.regions.control import Control, ControlError
from localcloud.regions.links import Links
from localcloud.regions.processes import GO_DARK, RegionProcess
from localcloud.regions.sharing import MalformedOrder, perform
from localcloud.template.handler import Physical, Resource

EAST, WEST = "us-east-1", "us-west-2"
CONTEXT = {"stack_name": "s", "region": EAST, "account_id": "1", "partition": "aws", "base": "/"}
RESOURCE = {"logical_id": "T", "type": "A::B::C", "properties": {}, "metadata": {}, "context": CONTEXT}


class Process:
    """Stands in for a Region's process: told to stop, it takes a second over it."""

    def __init__(self) -> None:
        self.endpoints: Mapping[str, str] = {"aws": "http://127.0.0.1:1"}
        self.stopped = self.has_ended = False

    async def go_dark(self) -> None:
        await asyncio.sleep(1)
        self.stopped = True

    def light(self) -> None:
        self.stopped = False


class Handler:
    """Makes what it is asked for."""

    type = "A::B::C"
    support = "native"
    properties: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.done: list[str] = []

    async def create(self, resource: Resource) -> Physical:
        self.done.append(f"create {resource.logical_id}")
        return Physical("ref", {"Arn": "arn"})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        self.done.append(f"delete {resource.logical_id} {physical.ref}")


def open_control(process: Process | RegionProcess | None = None) -> Control:
    regions: dict[str, Any] = {} if process is None else {EAST: process}
    return Control(regions, Links(rng=Random(1)), handlers={}, identity=IdentityProvider(Path()))


def run_served(scene: Callable[[Callable[[str, bytes], Awaitable[tuple[int, Any]]]], Awaitable[None]]) -> None:
    """The control on the port where it is served; `scene` is given a way to POST there."""

    async def main() -> None:
        control = open_control()
        front = Front([], authorise=lambda _key, _needs: None, rng=Random(1))
        front.answer_own(control.answer)
        with listen(0) as listener:
            async with front.serve(listener) as aws, ClientSession() as session:

                async def post(path: str, body: bytes) -> tuple[int, Any]:
                    async with session.post(f"{aws}/_sluiceway/{path}", data=body) as answer:
                        return answer.status, json.loads(await answer.text())

                await scene(post)

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("links", b"["),
        ("links", b"[" * 500_000),
        ("links", b"\xff"),
        ("links", b"[]"),
        ("links", b"{}"),
        ("links", b'{"source": "us-east-1", "target": 1}'),
        ("links", b'{"source": "us-east-1", "target": "not a Region"}'),
        ("links", b'{"source": "us-east-1", "target": "us-east-1"}'),
        ("links", b'{"source": "us-east-1", "target": "us-west-2", "cut": "false"}'),
        ("links", b'{"source": "us-east-1", "target": "us-west-2", "both": 0}'),
        ("regions/nowhere/kill", b""),
        ("regions//kill", b""),
        ("resources", b""),
        ("resources", b"[" * 500_000),
        ("resources", b"[]"),
        ("resources", b"{}"),
        ("resources", b'{"do": "create", "resource": {"type": "x"}}'),
        ("resources", json.dumps({"do": "create", "resource": RESOURCE}).encode()),
    ],
)
def test_a_bad_order_is_refused_by_name(path: str, body: bytes) -> None:
    """Neither a 5xx nor something else done than was asked: 400, and what is wrong."""

    async def scene(post: Callable[[str, bytes], Awaitable[tuple[int, Any]]]) -> None:
        status, told = await post(path, body)
        assert (status, list(told)) == (400, ["error"])

    run_served(scene)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("", "a Region's name is missing"),
        ("nowhere", "'nowhere' is no Region's name"),
        ("x" * 1_000, f"'{'x' * 32}' is no Region's name"),
    ],
)
def test_what_is_no_regions_name_is_said_back(region: str, said: str) -> None:
    """As much of it as a name has, so that a slip can be seen."""

    async def main() -> None:
        with pytest.raises(ControlError) as caught:
            await open_control().kill(region)
        assert (caught.value.status, str(caught.value)) == (400, said)

    run_virtual(main)


@pytest.mark.parametrize(
    ("change", "is_order"),
    [
        ({}, True),
        ({"do": "delete", "physical": {"ref": "ref", "attributes": {}}}, True),
        ({"do": "delete"}, False),
        ({"do": "delete", "physical": {"ref": 1, "attributes": {}}}, False),
        ({"do": "drop", "physical": {"ref": "ref", "attributes": {}}}, False),
        ({"do": []}, False),
        ({"resource": {**RESOURCE, "type": []}}, False),
        ({"resource": {**RESOURCE, "type": "x"}}, False),
        ({"resource": {**RESOURCE, "properties": 1}}, False),
        ({"resource": {**RESOURCE, "context": {}}}, False),
        ({"resource": {**RESOURCE, "context": {**CONTEXT, "more": 1}}}, False),
    ],
)
def test_an_order_about_a_resource_is_read_whole_first(change: dict[str, Any], *, is_order: bool) -> None:
    """What is neither to create nor to delete deletes nothing."""

    async def main() -> list[str]:
        handler = Handler()
        body = json.dumps({"do": "create", "resource": RESOURCE, **change}).encode()
        handlers: dict[str, Any] = {handler.type: handler}
        if is_order:
            await perform(handlers, body)
        else:
            with pytest.raises(MalformedOrder):
                await perform(handlers, body)
        return handler.done

    done = run_virtual(main)
    assert len(done) == int(is_order)


def test_a_region_is_dark_with_its_links_whoever_asks_at_once() -> None:
    """Kill, recover and kill again while the first is under way: the last one counts, and it can be recovered."""

    async def main() -> list[tuple[bool, bool]]:
        process = Process()
        control = open_control(process)
        seen: list[tuple[bool, bool]] = []
        async with asyncio.TaskGroup() as group:
            for order in (control.kill, control.recover, control.kill):
                group.create_task(order(EAST))
                await asyncio.sleep(0.1)
        seen.append((process.stopped, bool(control.tell()["regions"][0]["dark"])))
        await control.recover(EAST)
        seen.append((process.stopped, bool(control.tell()["regions"][0]["dark"])))
        async with asyncio.TaskGroup() as group:
            group.create_task(control.kill(EAST))
            await asyncio.sleep(0.1)
            group.create_task(control.recover(EAST))
        seen.append((process.stopped, bool(control.tell()["regions"][0]["dark"])))
        return seen

    assert run_virtual(main) == [(True, True), (False, False), (False, False)]


def test_a_region_that_has_not_started_is_told_and_not_killed() -> None:
    """The host answers before its Regions do: the signal would end a process that does not listen for it yet."""

    async def main() -> None:
        process = Process()
        process.endpoints = {}
        control = open_control(process)
        assert control.tell()["regions"] == [{"region": EAST, "dark": False, "ended": False, "endpoints": {}}]
        with pytest.raises(ControlError, match="has not started yet"):
            await control.kill(EAST)
        assert (control.tell()["regions"][0]["dark"], process.stopped) == (False, False)

    run_virtual(main)


class Dead:
    """A process that has died, of which nobody was told yet, or is told while it is made dark."""

    pid = 2**22 + 1  # above what Linux gives
    returncode: int | None = None

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_signal(self, number: int) -> None:
        self.sent.append(number)
        raise ProcessLookupError


def test_a_region_whose_process_died_can_be_killed_and_recovered(tmp_path: Path) -> None:
    """That it is gone is no failure of whoever makes it dark."""

    async def main() -> tuple[list[int], bool]:
        reaper = Reaper()
        try:
            region = RegionProcess(EAST, tmp_path, reaper=reaper, tell=lambda _: None)
            dead: Any = Dead()
            region._process = dead  # pyright: ignore[reportPrivateUsage]
            await region.go_dark()
            region.light()
            known: Any = Process()
            region._state = known  # pyright: ignore[reportPrivateUsage]
            seen = region.has_ended
            dead.returncode = -9
            assert open_control(region).tell()["regions"][0]["ended"]
            return dead.sent, seen
        finally:
            reaper.close()

    assert run_virtual(main) == ([GO_DARK, signal.SIGSTOP, signal.SIGCONT], False)
