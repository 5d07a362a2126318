"""Code that is replaced by something else while the local cloud runs: the next invocation tells, and the one after."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.compute import code_files
from localcloud.compute.code import CodeStore
from localcloud.compute.folder_watch import FolderWatch
from sluiceway.errors import Misconfigured
from tests.local.compute_world import World, open_world
from tests.local.test_reload import Told, interpreter, reloading

__all__ = ["interpreter"]

pytestmark = pytest.mark.local
TEXT = "def handler(event, context):\n    return {}\n"


@dataclass
class Edited:
    """A function whose code is watched."""

    world: World
    told: Told
    folder: Path

    async def see(self, change: Callable[[Path], None]) -> bytes:
        """What the next invocation answers after a change of `app.py` was told."""
        change(self.folder / "app.py")
        await self.told.next()
        return (await self.world.invoke()).payload


@pytest.fixture
async def edited(tmp_path: Path, interpreter: object) -> AsyncGenerator[Edited]:
    async with open_world(tmp_path) as world, reloading(world, tmp_path / ".cache") as (builder, told):
        world.add(TEXT.format(1), timeout_s=3, logical_id="Answer")
        await asyncio.to_thread(builder.build_function, "Answer", "f", interpreter)  # type: ignore[arg-type]
        assert await world.answer() == 1
        yield Edited(world, told, tmp_path / "f")


def put(path: Path, text: str) -> None:
    path.write_text(text)


def to_link(path: Path) -> None:
    other = path.parent.parent / "other.py"
    other.write_text(TEXT.format(2))
    path.unlink()
    path.symlink_to(other)


def to_dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.py")


def to_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to("app.py")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def to_bytes(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\x00")


def to_nothing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (to_link, b"2"),
        (to_dangling, b"Runtime.ImportModuleError"),
        (to_loop, b"Runtime.ImportModuleError"),
        (to_folder, b"Runtime."),
        (to_device, b"Runtime."),
        (to_bytes, b"Runtime."),
        (to_nothing, b"Runtime.ImportModuleError"),
    ],
)
async def test_a_handlers_file_that_is_none_any_more_is_the_next_invocations_error(
    edited: Edited, change: Callable[[Path], None], words: bytes
) -> None:
    """In Lambda's words; and when it is a file again, the invocation after that is fine."""
    assert words in await edited.see(change)

    def mend(path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        path.write_text(TEXT.format(3))

    assert await edited.see(mend) == b"3"


async def test_thousands_of_files_are_one_reload_and_hold_nobody_up(edited: Edited) -> None:
    """A build that writes them is told in a few lines, and the loop goes on meanwhile."""
    longest = 0.0
    stop = asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not stop.is_set():
            begun = time.thread_time()  # what the loop did itself, however little of the machine it was given
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - begun)

    def write(folder: Path) -> None:
        for number in range(4_000):
            if not number % 100:
                (folder / f"d{number}").mkdir()
            (folder / f"d{number - number % 100}" / f"m{number}.py").write_text("x = 1\n")

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        await asyncio.to_thread(write, edited.folder)
        assert "Reloaded Answer" in await edited.told.next()
        stop.set()
    assert longest < 0.1
    assert len(edited.told.lines) < 200
    assert await edited.see(lambda path: put(path, TEXT.format(4))) == b"4"


async def test_a_folder_that_is_gone_and_comes_back_is_reloaded(edited: Edited) -> None:
    """As a checkout of another branch does it."""
    kept = edited.folder.with_name("kept")
    shutil.move(edited.folder, kept)
    (kept / "app.py").write_text(TEXT.format(5))
    shutil.move(kept, edited.folder)
    await edited.told.next()
    assert await edited.world.answer() == 5


async def test_code_in_a_linked_folder_is_the_functions_code(edited: Edited) -> None:
    """What several functions share by a link is reloaded, for each of them, and is in the hash and the copy."""
    shared = edited.folder.with_name("shared")
    shared.mkdir()
    (shared / "part.py").write_text("VALUE = 6\n")
    (shared / "back").symlink_to(edited.folder)

    def link(path: Path) -> None:
        (path.parent / "shared").symlink_to(shared)
        path.write_text("from shared.part import VALUE\n\ndef handler(event, context):\n    return VALUE\n")

    assert await edited.see(link) == b"6"
    store = CodeStore(edited.folder.with_name("store"))
    before = store.measure(edited.folder)
    assert await edited.see(lambda _: put(shared / "part.py", "VALUE = 7\n")) == b"7"
    assert store.measure(edited.folder) != before
    kept, _ = store.keep(edited.folder)
    assert (kept / "shared" / "part.py").read_text() == "VALUE = 7\n"


def test_what_is_no_file_is_no_code(tmp_path: Path) -> None:
    """Pipes, devices and links to nothing are neither read nor copied."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("x")
    os.mkfifo(tmp_path / "code" / "pipe")
    (tmp_path / "code" / "zero").symlink_to("/dev/zero")
    (tmp_path / "code" / "gone").symlink_to("nowhere")
    kept, facts = CodeStore(tmp_path / "store").keep(tmp_path / "code")
    assert facts.size_bytes == 1
    assert [path.name for path in kept.iterdir()] == ["app.py"]


@pytest.mark.parametrize("polls", [False, True], ids=["told", "looked"])
async def test_folders_with_links_to_the_same_all_change(tmp_path: Path, polls: bool) -> None:
    """What two functions share is seen as each of them has it; a link made later is seen as well."""
    shared, one, two = (tmp_path / name for name in ("shared", "one", "two"))
    for folder in (shared, one, two):
        folder.mkdir()
    (one / "shared").symlink_to(shared)
    changes: asyncio.Queue[frozenset[Path]] = asyncio.Queue()
    watch = FolderWatch(changes.put_nowait, polls=polls)
    assert watch.add(one)
    assert watch.add(two)
    (two / "later").symlink_to(shared)
    seen: set[Path] = set()
    async with asyncio.timeout(10):
        if not polls:
            await changes.get()  # the link: what it leads to is watched from now on
        (shared / "part.py").write_text("x")
        while not {one / "shared" / "part.py", two / "later" / "part.py"} <= seen:
            seen |= await changes.get()
    watch.close()


def test_a_link_to_a_whole_disk_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than read and copied for hours."""
    monkeypatch.setattr(code_files, "MAX_FILES", 100)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "disk").symlink_to("/usr")
    with pytest.raises(Misconfigured, match="holds more than 100 files"):
        CodeStore(tmp_path / "store").keep(tmp_path / "code")
