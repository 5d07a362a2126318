"""What a reset is made of: sockets that stay, requests that are cut, a gate, ids that repeat, an emptied folder."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from localcloud.clock import run_virtual
from localcloud.drawing import ScopedRandom, draw_by, drawing_for
from localcloud.front import OWN_PATHS
from localcloud.gate import Gate
from localcloud.http_server import Servers, serve_http
from localcloud.kept import open_kept
from localcloud.models.choose import renew_engine
from localcloud.models.scripted import ScriptedEngine
from localcloud.options import CloudOptions
from localcloud.parts.ports import Sockets
from localcloud.persistence import empty_folder, hold_folder, open_database
from localcloud.resetting import RESET_PATH, SHARED, refuse_reset
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, prepare_stack, stack_context

SCHEMA = "CREATE TABLE IF NOT EXISTS items (id TEXT)"


def test_a_callers_connection_waits_in_a_socket_that_stays() -> None:
    """Between two clouds nobody accepts; who connects then is served by the second, or dropped where that is asked."""
    sockets = Sockets(0)
    with sockets.take() as first:
        first.listen()
    second = sockets.take()
    callers = [socket.create_connection(second.getsockname()) for _ in range(2)]
    second.accept()[0].close()
    sockets.drop_waiting()
    with pytest.raises(BlockingIOError):
        second.accept()
    assert callers[1].recv(1) == b""
    for each in (*callers, second):
        each.close()
    sockets.close()


def test_a_socket_in_no_row_keeps_its_port() -> None:
    """Addresses that begin with https lead to it before and after a reset."""
    sockets = Sockets(0)
    ports = set()
    for _ in range(2):
        with sockets.take_anywhere() as taken:
            ports.add(taken.getsockname()[1])
    sockets.close()
    assert len(ports) == 1


def test_sockets_that_end_refuse() -> None:
    """Nothing listens any more."""
    sockets = Sockets(0)
    with sockets.take() as taken:
        taken.listen()
        place = taken.getsockname()
    sockets.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place)


async def _ask(place: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*place)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def test_cut_requests_have_no_grace_and_no_answer() -> None:
    """One under way, one that begins while the first is being cut, and one after it: none is left with the server."""
    ended: list[str] = []

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")
        return web.Response()

    async def main() -> list[bytes]:
        servers, sockets = Servers(), Sockets(0)
        listener = sockets.take()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            async with serve_http(web.Server(never), listener, grace_s=60, among=servers):
                asking = [group.create_task(_ask(listener.getsockname()))]
                await asyncio.sleep(0.02)
                cutting = group.create_task(servers.cut())
                asking += [group.create_task(_ask(listener.getsockname())) for _ in range(5)]
                await cutting
            sockets.close()
        return [each.result() for each in asking]

    assert asyncio.run(main()) == [b""] * 6
    assert len(ended) >= 1


def test_callers_wait_at_a_gate_that_is_shut() -> None:
    """Until it opens, or for as long as they were told to."""

    async def main() -> list[float]:
        gate, loop, passed = Gate(), asyncio.get_running_loop(), list[float]()

        async def call(limit_s: float) -> None:
            await gate.wait(limit_s)
            passed.append(loop.time())

        await call(9)
        gate.shut()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(call(60))
            group.create_task(call(2))
            await asyncio.sleep(5)
            gate.open()
        await call(9)
        return [round(each - began, 3) for each in passed]

    assert run_virtual(main) == [0, 2, 5, 5]


def test_a_resource_draws_the_same_whatever_others_draw() -> None:
    """Its generator is its own while it is made; what it leaves running draws as everybody does."""

    async def deploy(noise: int) -> list[int]:
        rng = ScopedRandom(noise)
        draw_by(7)
        rng.random()
        with drawing_for("Api"):
            drawn = [rng.getrandbits(64)]
            with drawing_for("Inner"):
                drawn.append(rng.getrandbits(64))
            drawn += [rng.getrandbits(64), rng.randrange(10**9), rng.choice(range(10**9))]
            left_behind = asyncio.create_task(draw_later(rng))
        others.append(await left_behind)
        return drawn

    async def draw_later(rng: random.Random) -> int:
        await asyncio.sleep(1)
        return rng.getrandbits(64)

    others: list[int] = []
    first, second = (run_virtual(partial(deploy, noise)) for noise in (1, 2))
    assert first == second
    assert len(set(first)) == len(first)
    assert others[0] != others[1]


def test_outside_a_deployment_a_scoped_generator_is_any_generator() -> None:
    """Without `draw_by` too, and between two resources."""
    rng, other = ScopedRandom(3), random.Random(3)
    with drawing_for("Api"):
        assert rng.random() == other.random()
    assert [rng.getrandbits(9), rng.choice("abc")] == [other.getrandbits(9), other.choice("abc")]


def test_a_script_begins_again() -> None:
    """A script's faults come at its own first call again."""
    engine = ScriptedEngine()
    engine.calls = 4
    renewed = renew_engine(engine)
    assert isinstance(renewed, ScriptedEngine)
    assert (renewed.calls, engine.calls) == (0, 4)


def test_what_stacks_exported_is_forgotten(tmp_path: Path) -> None:
    """Also where a nested stack could not be deleted, whose exports would be in the way of its next."""

    async def main() -> dict[str, str]:
        async with open_kept(_options(tmp_path)) as kept:
            exports = {"left": "over"}
            context = stack_context(tmp_path)
            source = read_template(tmp_path / "template.json")
            kept.stack = prepare_stack(source, context, Settled(exports=exports))
            kept.empty()
            return exports

    assert asyncio.run(main()) == {}


def _options(folder: Path) -> CloudOptions:
    template = folder / "template.json"
    template.write_text('{"Resources": {"Any": {"Type": "AWS::SQS::Queue"}}}')
    return CloudOptions(template=template, state=folder, cache=folder, environ={}, progress=print, overrides={})


def test_a_folder_is_emptied_of_databases_alone(tmp_path: Path) -> None:
    """What a person put beside them stays."""
    (tmp_path / "notes.txt").touch()
    open_database(tmp_path / "items.sqlite3", SCHEMA).close()
    with hold_folder(tmp_path):
        empty_folder(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lock", "notes.txt"]


def test_an_emptying_that_was_killed_is_ended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two databases one is gone when the process ends: the next one finds neither."""
    for name in ("first", "second"):
        open_database(tmp_path / f"{name}.sqlite3", SCHEMA).close()
    unlink, removed = Path.unlink, list[Path]()

    def once(path: Path, *, missing_ok: bool = False) -> None:
        if removed:
            raise OSError(errno.EIO, "killed here")
        removed.append(path)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch, hold_folder(tmp_path):
        patch.setattr(Path, "unlink", once)
        with pytest.raises(OSError, match="killed here"):
            empty_folder(tmp_path)
    assert len(list(tmp_path.glob("*.sqlite3"))) == 1
    with hold_folder(tmp_path):
        assert [each.name for each in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", RESET_PATH, {}, 409),
        ("GET", RESET_PATH, {}, 405),
        ("POST", f"{RESET_PATH}/x", {}, 404),
        ("POST", RESET_PATH, {"origin": "http://127.0.0.1:3000"}, 403),
        ("POST", RESET_PATH, {"sec-fetch-site": "none"}, 403),
    ],
    ids=["posted", "read", "elsewhere", "by a page", "by a browser"],
)
def test_where_regions_share_a_cloud_it_is_not_reset(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """It says why; and asks who asks, as everywhere."""

    async def main() -> tuple[int, str]:
        sockets = Sockets(0)
        listener = sockets.take()
        async with serve_http(web.Server(refuse_reset(SHARED)), listener, grace_s=1):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{head}\r\n".encode())
            answer = (await reader.read()).decode()
            writer.close()
        sockets.close()
        return int(answer.split()[1]), answer

    found, answer = asyncio.run(main())
    assert found == status
    assert ("share tables" in answer) == (status == 409)


def test_the_path_is_the_clouds_own() -> None:
    """No bucket may be named so."""
    assert RESET_PATH.startswith(OWN_PATHS)
