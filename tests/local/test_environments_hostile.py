"""Functions that mean harm to their own environment: what they leave behind, pour out, or tell the Runtime API."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from localcloud.compute.runtime_server import MAX_CONNECTIONS
from tests.local.compute_world import ROOT, World, open_world

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system tells nothing of processes"),
]

SOURCE = textwrap.dedent("""
    import http.client, json, os, signal, socket, subprocess, sys, time
    API = os.environ["AWS_LAMBDA_RUNTIME_API"]
    DAEMON = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    KEPT = []
    def leave():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv(sys.executable, [sys.executable, "-c", DAEMON])
            os._exit(0)
        os.wait()
    def is_open(there):
        there.settimeout(0.01)
        try:
            return there.recv(1) != b""
        except TimeoutError:
            return True
        except OSError:
            return False
    def post(path, body, headers={}):
        there = http.client.HTTPConnection(API, timeout=5)
        there.request("POST", "/2018-06-01/runtime/invocation/" + path, body, headers)
        answer = there.getresponse()
        return answer.status, answer.read().decode()
    def handler(event, context):
        own = context.aws_request_id
        if event == "leave":
            leave()
        if event == "leave and hang":
            leave()
            time.sleep(600)
        if event == "ignore":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        if event == "pour":
            os.write(1, b"x" * 1000)
            for _ in range(400):
                os.write(1, b"x" * 65_536)
        if event == "claim":
            fds = [fd for fd in range(3, 30) if os.path.lexists(f"/proc/self/fd/{fd}")]
            fd = next(fd for fd in fds if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"))
            os.write(fd, b"\\xa5\\x5a\\x00\\x03\\xff\\xff\\xff\\xff" + bytes(8))
            for _ in range(400):
                os.write(fd, b"y" * 65_536)
        if event == "other":
            return post("00000000-0000-4000-a000-000000000000/response", "{}")
        if event == "twice":
            return [post(own + "/response", '"first"'), post(own + "/response", '"second"')]
        if event == "error":
            return post(own + "/error", '{"errorType":"' + "E" * 100_000 + '","errorMessage":"m"}')
        if event == "huge":
            return post(own + "/error", "x" * 20_000_000)
        if event == "header":
            return post(own + "/error", "{}", {"Lambda-Runtime-Function-Error-Type": "E" * 1_000_000})
        if event == "connect":
            host, port = API.split(":")
            for _ in range(200):
                try:
                    KEPT.append(socket.create_connection((host, int(port)), timeout=2))
                    KEPT[-1].sendall(b"POST / HTTP/1.1\\r\\nX: " + b"x" * 500_000)
                except OSError:
                    pass
            return sum(map(is_open, KEPT))
        return os.getpid()
""")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(tmp_path) as opened:
        opened.add(SOURCE)
        yield opened


def daemons() -> list[int]:
    """Processes that have left a function's group, and ignore SIGTERM."""
    found: list[int] = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                words = (place / "cmdline").read_bytes()
                alive = (place / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                continue
            if alive and b"signal.SIG_IGN); time.sleep(600)" in words and b"import os, signal, sys" in words:
                found.append(int(place.name))
    return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)


async def test_a_process_that_left_its_group_ends_with_its_environment(tmp_path: Path) -> None:
    """A daemon by the book, twice forked, in a session of its own, deaf to SIGTERM."""
    before = set(daemons())
    async with open_world(tmp_path) as world:
        world.add(SOURCE)
        await world.answer("leave")
        await until(lambda: len(set(daemons()) - before) == 1)
    assert set(daemons()) - before == set()


async def test_a_timeout_ends_what_left_the_group(world: World) -> None:
    """As on Lambda, where the whole environment is gone."""
    before = set(daemons())
    world.add(SOURCE, timeout_s=2)
    result = await world.invoke("leave and hang")
    assert b"Sandbox.Timedout" in result.payload
    await until(lambda: set(daemons()) - before == set())


def test_a_killed_local_cloud_leaves_no_daemon(tmp_path: Path) -> None:
    """Also `kill -9` in the middle of an invocation whose environment has one."""
    code = tmp_path / "cloud.py"
    code.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.local.compute_world import open_world\n"
        "from tests.local.test_environments_hostile import SOURCE\n"
        "async def main():\n"
        "    async with open_world(Path(sys.argv[1])) as world:\n"
        "        world.add(SOURCE, timeout_s=60)\n"
        "        await world.invoke('leave and hang')\n"
        "asyncio.run(main())\n"
    )
    before = set(daemons())
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "layers" / "sluiceway")]))
    with subprocess.Popen([sys.executable, str(code), str(tmp_path)], env=environ) as cloud:
        ends = time.monotonic() + 20
        while set(daemons()) == before and time.monotonic() < ends:
            time.sleep(0.01)
        assert set(daemons()) != before
        cloud.kill()
    ends = time.monotonic() + 10
    while set(daemons()) != before and time.monotonic() < ends:
        time.sleep(0.01)
    assert set(daemons()) - before == set()


async def test_a_handler_that_ignores_sigterm_is_killed(world: World) -> None:
    """The time-out asks nobody."""
    world.add(SOURCE, timeout_s=2)
    assert b"Task timed out after 2.00 seconds" in (await world.invoke("ignore")).payload
    assert isinstance(await world.answer("fine"), int)


@pytest.mark.parametrize("event", ["pour", "claim"])
async def test_output_without_an_end_of_line_or_frame_is_cut(world: World, event: str) -> None:
    """26 MB of it are events of 1 MB, and the local cloud holds no more than that of them at a time."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await world.answer(event)
    lengths = [len(line) for line in world.lines() if line[:1] in {"x", "y"}]
    assert max(lengths) <= 1_048_576
    assert len(lengths) >= 25
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 150_000


async def test_another_invocations_id_is_refused(world: World) -> None:
    """400, and the invocation goes on."""
    status, body = await world.answer("other")
    assert (status, "InvalidRequestID" in body) == (400, True)


async def test_a_second_answer_is_refused_and_the_first_counts(world: World) -> None:
    """The official client's own comes third, and what it is told ends it: the next event has another process."""
    for _ in range(5):
        first = await world.answer("fine")
        assert await world.answer("twice") == "first"
        assert first != await world.answer("fine")
    assert sum(line.startswith("START") for line in world.lines()) == 15


@pytest.mark.parametrize("event", ["error", "header"])
async def test_the_name_of_an_error_has_a_length(world: World, event: str) -> None:
    """However long a name was sent, what logs and answers call it is short."""
    result = await world.invoke(event)
    assert result.function_error == "Unhandled"
    assert result.error_type == "E" * 256


async def test_an_error_that_is_too_large_is_told_so(world: World) -> None:
    """20 MB are read past, and the invocation fails with ResponseSizeTooLarge."""
    result = await world.invoke("huge")
    assert result.error_type == "Function.ResponseSizeTooLarge"


async def test_connections_to_the_runtime_api_are_few(world: World) -> None:
    """Of two hundred, each with half a head, only a few are held; the runtime's own goes on."""
    assert 0 < await world.answer("connect") < MAX_CONNECTIONS
    assert isinstance(await world.answer("fine"), int)
