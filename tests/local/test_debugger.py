"""`--debugger`: one port for an editor, every function debugged, and no time that runs out meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from localcloud.clock import SystemClock
from localcloud.compute.cloud import ComputeSettings, open_compute
from localcloud.services.logs.model import Logs
from sluiceway.errors import Misconfigured
from tests.local.compute_world import CACHE, World, issue_keys
from tests.local.debug_client import DebugClient

HANDLER = """
import os, sys, time
def handler(event, context):
    if event == "wait":
        time.sleep(2)
    value = [event, "_SLUICEWAY_DEBUGGER" in os.environ, context.get_remaining_time_in_millis()]
    return value
"""
STAND_IN = {
    "__init__.py": """
        import os, sys
        TOLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
        def connect(where, parent_session_pid=None):
            name = "anchor" if parent_session_pid is None else "functions"
            with open(os.path.join(TOLD, name), "a") as file:
                file.write(f"{where[0]} {where[1]} {parent_session_pid} {os.getpid()}\\n")
        def wait_for_client():
            pass
        def is_client_connected():
            return os.path.exists(os.path.join(TOLD, "attached"))
        """,
    "server.py": """
        import sys, types, debugpy
        pydevd = sys.modules["pydevd"] = types.ModuleType("pydevd")
        pydevd.settrace = lambda host, port, **_: debugpy.connect((host, port))
        """,
    "public_api.py": "# parent_session_pid",
    "adapter/__main__.py": """
        import json, socket, sys
        words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
        told = {"client": {}, "server": {"host": "127.0.0.1", "port": int(words["--port"]) + 1}}
        with socket.create_connection(("127.0.0.1", int(words["--for-server"]))) as connection:
            connection.sendall(json.dumps(told).encode())
        """,
}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the place of debugpy, in the developer's environment; the folder it tells in."""
    folder = tmp_path / "developer"
    for name, text in STAND_IN.items():
        path = folder / "debugpy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def find_nothing(name: str) -> None:
    del name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@asynccontextmanager
async def debugged_world(code: Path, port: int) -> AsyncGenerator[World]:
    clock = SystemClock()
    logs = Logs(clock=clock)
    settings = ComputeSettings(
        cache_dir=CACHE, environ=dict(os.environ), endpoint_url=lambda: "http://127.0.0.1:9", debugger=port
    )
    async with open_compute(settings, clock=clock, logs=logs, credentials=issue_keys, rng=random.Random(1)) as compute:
        yield World(compute, logs, code)


async def test_each_environment_connects_as_a_child_of_the_one_that_is_attached_to(
    tmp_path: Path, stand_in: Path
) -> None:
    """Address and process id are the anchor's; the function sees nothing of it, and its environments all come."""
    port = free_port()
    async with debugged_world(tmp_path, port) as world:
        world.add(HANDLER, memory_mb=128)
        assert (await world.answer("x"))[:2] == ["x", False]
        world.functions.renew("f")
        await world.answer("x")
    anchor = (stand_in / "anchor").read_text().split()
    functions = [line.split() for line in (stand_in / "functions").read_text().splitlines()]
    assert anchor[:3] == ["127.0.0.1", str(port + 1), "None"]
    assert [line[:3] for line in functions] == [["127.0.0.1", str(port + 1), anchor[3]]] * 2
    assert len({line[3] for line in functions}) == 2


async def test_no_time_runs_out_while_an_editor_is_attached(tmp_path: Path, stand_in: Path) -> None:
    """The timeout of 1 s is held without an editor, and not with one; the function is told that it has a day."""
    async with debugged_world(tmp_path, free_port()) as world:
        world.add(HANDLER, timeout_s=1)
        await world.answer("x")
        assert json.loads((await world.invoke("wait")).payload)["errorType"] == "Sandbox.Timedout"
        (stand_in / "attached").touch()
        async with asyncio.timeout(10):
            while (await world.answer("x"))[2] < 3600_000:  # noqa: ASYNC110 - another process tells it
                await asyncio.sleep(0.02)
        assert (await world.answer("wait"))[0] == "wait"
        (stand_in / "attached").unlink()
        async with asyncio.timeout(10):
            while (await world.answer("x"))[2] > 3600_000:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.02)
        assert json.loads((await world.invoke("wait")).payload)["errorType"] == "Sandbox.Timedout"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "pip install debugpy"),
        ({"public_api.py": ""}, "pip install --upgrade debugpy"),
        ({"adapter/__main__.py": "import sys; sys.exit(1)"}, "the debugger did not start"),
    ],
)
async def test_what_is_missing_is_said(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str] | None, message: str
) -> None:
    """debugpy itself, one that is new enough, and an adapter that starts."""
    if change is None:
        monkeypatch.setattr("localcloud.compute.debugging.find_spec", find_nothing)
    for name, text in (change or {}).items():
        (stand_in / "debugpy" / name).write_text(text)
    with pytest.raises(ExceptionGroup) as caught:
        async with debugged_world(tmp_path, free_port()):
            pass
    assert message in str(caught.value.exceptions[0])
    assert isinstance(caught.value.exceptions[0], Misconfigured)


@pytest.mark.skipif(find_spec("debugpy") is None, reason="debugpy is not in this environment")
async def test_an_editor_stops_in_a_function(tmp_path: Path) -> None:
    """Attached once: told of what runs and of what comes; it stops past the timeout, reads, and goes on."""
    port = free_port()
    async with debugged_world(tmp_path, port) as world, asyncio.TaskGroup() as group:
        spec = world.add(HANDLER, timeout_s=1)
        await world.answer("before")  # runs as ever while nobody is attached
        editor = await DebugClient.open(port)
        await editor.attach(connect={"host": "127.0.0.1", "port": port})
        await editor.ask("configurationDone")
        for number in range(2):
            if number:
                world.functions.renew("f")
            running = group.create_task(world.answer(number)) if number else None
            told = await editor.event("debugpyAttach")
            inner = await DebugClient.open(told["connect"]["port"])
            await inner.attach(subProcessId=told["subProcessId"], connect=told["connect"])
            lines = [{"line": 7}]
            await inner.ask("setBreakpoints", source={"path": str(spec.code_dir / "app.py")}, breakpoints=lines)
            await inner.ask("configurationDone")
            running = running or group.create_task(world.answer(number))
            thread = (await inner.event("stopped"))["threadId"]
            frame = (await inner.ask("stackTrace", threadId=thread))["stackFrames"][0]
            assert (frame["name"], frame["line"]) == ("handler", 7)
            found = await inner.ask("evaluate", expression="event", frameId=frame["id"])
            assert found["result"] == str(number)
            await asyncio.sleep(1.2)  # longer than the function may run
            await inner.ask("continue", threadId=thread)
            assert (await running)[0] == number
            inner.close()
        editor.close()
