"""Code that is edited while the local cloud runs: seen, built again if need be, and run by the next invocation."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from localcloud.compute.dependencies import Builder
from localcloud.compute.folder_watch import FolderWatch
from localcloud.compute.interpreters import Interpreter, find_interpreter
from localcloud.compute.reload import Reloader
from tests.local.compute_world import World, open_world

TEXT = "def handler(event, context):\n    return {}\n"


@dataclass
class Told:
    """What was told, and a way to wait for the next."""

    lines: list[str] = field(default_factory=list[str])
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.more.set()

    async def next(self) -> str:
        async with asyncio.timeout(10):
            await self.more.wait()
        self.more.clear()
        return self.lines[-1]


@pytest.fixture
def interpreter() -> Interpreter:
    return find_interpreter("python3.11", environ=os.environ).interpreter


@asynccontextmanager
async def reloading(world: World, cache: Path) -> AsyncGenerator[tuple[Builder, Told]]:
    told = Told()
    reloader = Reloader(world.functions, group=world.compute.group, say=told.say)
    builder = Builder(cache_dir=cache, base=world.code, environ=os.environ, progress=lambda _: None, note=reloader.note)
    try:
        yield builder, told
    finally:
        reloader.close()


async def test_the_next_invocation_runs_what_was_written(tmp_path: Path, interpreter: Interpreter) -> None:
    """Told by name within 100 ms of a write; a syntax error is the next invocation's, and mended by the next write."""
    async with open_world(tmp_path) as world, reloading(world, tmp_path / ".cache") as (builder, told):
        world.add(TEXT.format(1), logical_id="Answer")
        await asyncio.to_thread(builder.build_function, "Answer", "f", interpreter)
        assert await world.answer() == 1
        took: list[float] = []
        for number in (2, 3, 4):
            began = time.perf_counter()
            (tmp_path / "f" / "app.py").write_text(TEXT.format(number))
            assert await told.next() == "Reloaded Answer (app.py)"
            took.append(time.perf_counter() - began)
            assert await world.answer() == number
        (tmp_path / "f" / "app.py").write_text("def handler(:\n")
        await told.next()
        broken = await world.invoke()
        (tmp_path / "f" / "app.py").write_text(TEXT.format(5))
        await told.next()
        assert await world.answer() == 5
    assert min(took) < 0.1
    assert b"Runtime.UserCodeSyntaxError" in broken.payload


async def test_a_layer_that_is_a_folder_and_one_that_is_built(tmp_path: Path, interpreter: Interpreter) -> None:
    """Each function of a layer is reloaded; a makefile's layer is made again and the functions run from that."""
    built, plain = tmp_path / "built", tmp_path / "plain"
    (plain / "python").mkdir(parents=True)
    built.mkdir()
    (plain / "python" / "one.py").write_text("VALUE = 1\n")
    (built / "two.py").write_text("VALUE = 1\n")
    (built / "Makefile").write_text(
        'build-Made:\n\tmkdir -p "$(ARTIFACTS_DIR)/python"\n\tcp two.py "$(ARTIFACTS_DIR)/python"\n'
    )
    source = "import one, two\ndef handler(e, c):\n    return [one.VALUE, two.VALUE]\n"
    async with open_world(tmp_path) as world, reloading(world, tmp_path / ".cache") as (builder, told):
        first = await asyncio.to_thread(builder.build_layer, "Plain", "plain", interpreter)
        second = await asyncio.to_thread(builder.build_layer, "Made", "built", interpreter, method="makefile")
        for name in ("f", "g"):
            world.add(source, name=name, layer_dirs=(first, second))
        assert await world.answer() == [1, 1]
        (plain / "python" / "one.py").write_text("VALUE = 2\n")
        assert await told.next() == "Reloaded f, g (one.py)"
        assert await world.answer(name="g") == [2, 1]
        (built / "two.py").write_text("VALUE = 3\n")
        assert await told.next() == "Reloaded f, g (two.py)"
        assert [await world.answer(name=name) for name in ("f", "g")] == [[2, 3]] * 2
        (built / "Makefile").write_text("build-Made:\n\tfalse\n")
        assert (await told.next()).startswith("Made is not reloaded: could not build Made")
        assert await world.answer() == [2, 3]


async def test_a_layer_with_extensions_is_told(tmp_path: Path, interpreter: Interpreter) -> None:
    """Lambda would start them; here a line says that nobody does."""
    (tmp_path / "layer" / "extensions").mkdir(parents=True)
    told = Told()
    builder = Builder(cache_dir=tmp_path / ".cache", base=tmp_path, environ=os.environ, progress=told.say)
    builder.build_layer("Probe", "layer", interpreter)
    assert told.lines == ["Probe holds extensions: none is started here"]


async def test_what_runs_while_code_changes_ends_well(tmp_path: Path, interpreter: Interpreter) -> None:
    """The invocation in flight is of the old code; the one after it of the new."""
    slow = """
import time
def handler(event, context):
    open(event, 'w').close()
    time.sleep(0.3)
    return 'old'
"""
    async with open_world(tmp_path) as world, reloading(world, tmp_path / ".cache") as (builder, told):
        world.add(slow)
        await asyncio.to_thread(builder.build_function, "f", "f", interpreter)
        marker = tmp_path / "began"
        async with asyncio.TaskGroup() as group:
            running = group.create_task(world.answer(str(marker)))
            while not await asyncio.to_thread(marker.exists):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
            (tmp_path / "f" / "app.py").write_text(TEXT.format("'new'"))
            await told.next()
            assert await world.answer() == "new"
        assert running.result() == "old"


def write(folder: Path) -> None:
    (folder / "app.py").write_text("xx")


def remove(folder: Path) -> None:
    (folder / "app.py").unlink()


def write_many(folder: Path) -> None:
    for number in range(50):
        (folder / f"m{number}.py").write_text("x")


def replace_by_rename(folder: Path) -> None:
    (folder / "app.py.new").write_text("x")
    (folder / "app.py.new").rename(folder / "app.py")


def edit_in_place(folder: Path) -> None:
    """As `sed -i` does, after vim has tried whether the folder takes files."""
    (folder / "4913").write_text("")
    (folder / "4913").unlink()
    (folder / "sedXn3kQ2").write_text("xx")
    (folder / "sedXn3kQ2").rename(folder / "app.py")


def make_a_package(folder: Path) -> None:
    (folder / "pack" / "deep").mkdir(parents=True)
    (folder / "pack" / "deep" / "mod.py").write_text("x")


def swap_the_folder(folder: Path) -> None:
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    shutil.rmtree(folder)
    other.rename(folder)


@pytest.mark.parametrize("polls", [False, True], ids=["told", "looked for"])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (write, "app.py"),
        (replace_by_rename, "app.py"),
        (edit_in_place, "app.py"),
        (remove, "app.py"),
        (make_a_package, "mod.py"),
        (write_many, "m49.py"),
        (swap_the_folder, ""),
    ],
    ids=["written", "renamed onto", "edited in place", "removed", "new folders", "many", "folder replaced"],
)
async def test_how_files_change(tmp_path: Path, change: Callable[[Path], None], name: str, polls: bool) -> None:
    """Every way in which editors and version control write is seen; many files at once are one change."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text("x")
    changes: asyncio.Queue[frozenset[Path]] = asyncio.Queue()
    watch = FolderWatch(changes.put_nowait, polls=polls)
    assert watch.add(folder)
    change(folder)
    async with asyncio.timeout(10):
        if not (polls and not name):  # a copy with the same names, sizes and times is none to who looks
            seen = await changes.get()
            assert not name or name in {path.name for path in seen}
    (folder / "later.py").write_text("x")
    async with asyncio.timeout(10):
        while "later.py" not in {path.name for path in await changes.get()}:
            pass
    watch.close()


async def test_what_came_and_went_is_no_change(tmp_path: Path) -> None:
    """The files that editors make beside the edited one are not told; alone they are no change at all."""
    (tmp_path / "app.py").write_text("x")
    changes: asyncio.Queue[frozenset[Path]] = asyncio.Queue()
    watch = FolderWatch(changes.put_nowait)
    watch.add(tmp_path)
    (tmp_path / "4913").write_text("")
    (tmp_path / "4913").unlink()
    await asyncio.sleep(0.1)  # longer than a change takes to be told
    assert changes.empty()
    edit_in_place(tmp_path)
    async with asyncio.timeout(10):
        assert await changes.get() == {tmp_path / "app.py"}
    (tmp_path / "app.py").unlink()
    async with asyncio.timeout(10):
        assert await changes.get() == {tmp_path / "app.py"}
    watch.close()


async def test_a_reload_names_what_is_there(tmp_path: Path, interpreter: Interpreter) -> None:
    """Not the name that an editor gave the old file before it took it away."""
    async with open_world(tmp_path) as world, reloading(world, tmp_path / ".cache") as (builder, told):
        world.add(TEXT.format(1), logical_id="Answer")
        await asyncio.to_thread(builder.build_function, "Answer", "f", interpreter)
        edited = tmp_path / "f" / "app.py"
        edited.rename(tmp_path / "f" / "app.py___old___")
        edited.write_text(TEXT.format(2))
        (tmp_path / "f" / "app.py___old___").unlink()
        assert await told.next() == "Reloaded Answer (app.py)"
        edited.unlink()
        assert await told.next() == "Reloaded Answer (app.py)"


@pytest.mark.parametrize("polls", [False, True], ids=["told", "looked for"])
async def test_what_tools_write_is_no_change(tmp_path: Path, polls: bool) -> None:
    """Hidden files, byte code, backups and folders that are left out."""
    changes: asyncio.Queue[frozenset[Path]] = asyncio.Queue()
    kept = tmp_path / "kept"
    kept.mkdir()
    watch = FolderWatch(changes.put_nowait, polls=polls, without=(kept,))
    watch.add(tmp_path)
    for name in (
        ".git/index",
        "__pycache__/app.pyc",
        "app.py~",
        ".app.py.swp",
        "#app.py#",
        "node_modules/a/b.js",
        "kept/db",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "app.py").write_text("x")
    async with asyncio.timeout(10):
        seen = await changes.get()
    watch.close()
    assert {path.name for path in seen} == {"app.py"}
