"""The code of functions: hashes, copies that nothing changes, archives taken apart, and versions made of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.compute import code
from localcloud.compute.code import BadArchive, CodeStore
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.compute.publishing import Publisher
from localcloud.compute.versions import Alias
from localcloud.services.lambda_.errors import LambdaError
from tests.unit.lambda_setup import World, spec, world


def archive(**files: bytes) -> bytes:
    """A zip archive of files by name; a double underscore stands for a slash."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name.replace("__", "/") + ".py", content)
    return made.getvalue()


def test_a_folder_is_measured_by_its_names_and_contents(tmp_path: Path) -> None:
    """Another content, another name, another hash; what Python caches does not count."""
    store, folder = CodeStore(tmp_path / "cache"), tmp_path / "code"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "app.py").write_text("x = 1\n")
    first = store.measure(folder)
    (folder / "__pycache__" / "app.pyc").write_bytes(b"compiled")
    assert (store.measure(folder), first.size_bytes) == (first, 6)
    (folder / "app.py").write_text("x = 22\n")
    second = store.measure(folder)
    (folder / "app.py").rename(folder / "apq.py")
    assert len({first.sha256, second.sha256, store.measure(folder).sha256}) == 3
    assert len(base64.b64decode(first.sha256)) == 32


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    """A file of the same time and size is not opened: its hash is known."""
    store, folder = CodeStore(tmp_path / "cache"), tmp_path / "code"
    folder.mkdir()
    file = folder / "app.py"
    file.write_text("x = 1\n")
    first, stat = store.measure(folder), file.stat()
    file.write_text("y = 1\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert store.measure(folder) == first
    assert CodeStore(tmp_path / "cache").measure(folder) != first


def test_a_copy_does_not_follow_its_folder(tmp_path: Path) -> None:
    """The copy is made once, by content; a copy of a copy is itself."""
    store, folder = CodeStore(tmp_path / "cache"), tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "app.py").write_text("x = 1\n")
    kept, facts = store.keep(folder)
    (folder / "inner" / "app.py").write_text("x = 2\n")
    assert (kept / "inner" / "app.py").read_text() == "x = 1\n"
    assert store.keep(kept) == (kept, facts)
    other, _ = store.keep(folder)
    assert other != kept


def test_an_archive_becomes_a_folder(tmp_path: Path) -> None:
    """With the hash and size of the archive itself; twice the same archive is one folder."""
    store, content = CodeStore(tmp_path), archive(app=b"x = 1\n", inner__more=b"")
    folder, facts = store.unpack(content)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.py")} == {"app.py", "inner/more.py"}
    assert facts.sha256 == base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert facts.size_bytes == len(content)
    assert store.unpack(content)[0] == folder


def bomb() -> bytes:
    """An archive that says less than it holds."""
    content = bytearray(archive(app=b"0" * 5000))
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        archive(app=b"x")[:-10],
        archive(**{"..__escape": b"x"}),
        archive(__etc__passwd=b"x"),
        archive(**{"a\\b": b"x"}),
        bomb(),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Lambda's words; nothing is written beside the cache, nothing half made stays in it."""
    store = CodeStore(tmp_path / "cache")
    with pytest.raises(BadArchive, match="Could not unzip uploaded file"):
        store.unpack(content)
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".py"] == []


def test_an_archive_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unzipped size, and an empty one."""
    store = CodeStore(tmp_path)
    monkeypatch.setattr(code, "MAX_UNZIPPED_BYTES", 100)
    with pytest.raises(BadArchive, match="Unzipped size must be smaller than 100 bytes"):
        store.unpack(archive(app=b"0" * 101))
    with pytest.raises(BadArchive, match="non-empty zip"):
        store.unpack(archive())


def publisher(there: World, base: Path) -> Publisher:
    return Publisher(CodeStore(base / "cache"), clock=there.clock, rng=random.Random(1))


def test_a_version_has_a_copy_of_the_code_and_is_made_once(tmp_path: Path) -> None:
    """An edited folder is for $LATEST alone; unchanged code and configuration give the version that is there."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")

    async def main() -> None:
        async with world(lambda *_: None, spec(code_dir=folder, description="d")) as there:  # type: ignore[arg-type]
            publishes = publisher(there, tmp_path)
            first, is_new = await publishes.publish(there.record)
            assert (first.version, first.description, is_new) == ("1", "d", True)
            assert (await publishes.publish(there.record, description="other"))[1] is False
            (folder / "app.py").write_text("x = 22\n")
            second, is_new = await publishes.publish(there.record, description="")
            assert (second.version, second.description, is_new) == ("2", "", True)
            assert (first.code_dir / "app.py").read_text() == "x = 1\n"
            assert (second.code_dir / "app.py").read_text() == "x = 22\n"
            assert first.revision_id not in {"", second.revision_id}
            assert there.record.spec.code_dir == folder

    run_virtual(main)


def test_a_version_of_another_hash_or_revision_is_refused(tmp_path: Path) -> None:
    """CodeSha256 and RevisionId guard against publishing what one has not seen."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")

    async def main() -> None:
        async with world(lambda *_: None, spec(code_dir=folder, revision_id="r")) as there:  # type: ignore[arg-type]
            publishes = publisher(there, tmp_path)
            current = (await publishes.measure(there.record.spec)).code_sha256
            with pytest.raises(LambdaError) as refused:
                await publishes.publish(there.record, sha256="other")
            said = f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({current})."
            assert refused.value.message.startswith(said)
            with pytest.raises(LambdaError) as refused:
                await publishes.publish(there.record, revision="old")
            assert (refused.value.code, refused.value.status) == ("PreconditionFailedException", 412)
            assert (await publishes.publish(there.record, sha256=current, revision="r"))[1] is True

    run_virtual(main)


async def at_once(asked: FunctionSpec, request: Request) -> Outcome:
    return Outcome(b"{}")


async def settle(there: World) -> None:
    """Come back when everything that was queued is done: code is copied in threads, in real time."""
    while there.functions._queued:
        await asyncio.wait(there.functions._queued)
    await asyncio.sleep(0)


async def test_aliases_that_follow_go_to_edited_code(tmp_path: Path) -> None:
    """A change that keeps the revision is an edit: published, and the alias is there; a change by the API is not."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")

    first = spec(code_dir=folder, revision_id="r1")
    async with world(at_once, first, init_s=0) as there:
        publishes = publisher(there, tmp_path)
        there.functions.connect(there.told, None, publishes.follow)
        await publishes.publish(there.record)
        for name in ("live", "fixed"):
            there.record.aliases[name] = Alias(name=name, version="1", revision_id="a1")
        there.record.following.add("live")
        await there.record.provision("live", 1, now_s=0.0)
        for number in range(2, 12):
            (folder / "app.py").write_text(f"x = {number:03}\n")
            there.functions.add(first)
        await settle(there)
        newest = there.record.aliases["live"].version
        assert (there.record.find(newest).spec.code_dir / "app.py").read_text() == "x = 011\n"
        assert there.record.aliases["live"].revision_id != "a1"
        assert [(await there.functions.invoke(f"f:{name}", b"{}")).version for name in ("live", "fixed")] == [
            newest,
            "1",
        ]
        assert list(there.record.provisions["live"].pools) == [newest]
        there.functions.add(spec(code_dir=folder, revision_id="r2", memory_mb=256))
        await settle(there)
        assert there.record.aliases["live"].version == newest
        there.functions.add(spec(code_dir=folder, revision_id="r2", memory_mb=256))
        await settle(there)
        assert there.record.aliases["live"].version == str(int(newest) + 1)


async def test_what_is_edited_in_a_layer_renews_the_version_that_uses_it(tmp_path: Path) -> None:
    """Neither code nor configuration changed: no new version, and no environment of the old one is used again."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")

    async with world(at_once, spec(code_dir=folder), init_s=0) as there:
        publishes = publisher(there, tmp_path)
        there.functions.connect(there.told, None, publishes.follow)
        await publishes.publish(there.record)
        there.record.aliases["live"] = Alias(name="live", version="1")
        there.record.following.add("live")
        await there.functions.invoke("f:live", b"{}")
        there.functions.add(there.record.spec)
        await settle(there)
        assert (there.record.aliases["live"].version, there.made[0].stopped) == ("1", True)


class Staggered(Publisher):
    """Publishes without copying, the first time slowly."""

    waits_s = iter((10.0, 1.0))

    async def publish(self, record: Any, **_: Any) -> tuple[FunctionSpec, bool]:
        found = record.spec
        await asyncio.sleep(next(self.waits_s))
        return record.publish(found), True


def test_edits_are_followed_in_their_order(tmp_path: Path) -> None:
    """The later edit is what the alias has in the end, also where the earlier one takes longer."""

    async def main() -> None:
        async with world(at_once, spec(revision_id="r")) as there:
            publishes = Staggered(CodeStore(tmp_path), clock=there.clock, rng=random.Random(1))
            there.functions.connect(there.told, None, publishes.follow)
            there.record.publish(there.record.spec)
            there.record.aliases["live"] = Alias(name="live", version="1")
            there.record.following.add("live")
            for memory_mb in (256, 512):
                there.functions.add(spec(revision_id="r", memory_mb=memory_mb))
                await asyncio.sleep(1)
            await asyncio.sleep(60)
            assert there.record.describe("live").memory_mb == 512

    run_virtual(main)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("skipped", [0, 2, 9])
def test_an_archive_whose_compressed_data_is_none_is_refused(tmp_path: Path, kind: int, skipped: int) -> None:
    """Whatever the decompressor raises, it is the archive's fault."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as opened:
        opened.writestr("app.py", b"abc" * 100)
    broken = bytearray(made.getvalue())
    place = broken.index(b"app.py") + len(b"app.py") + skipped
    broken[place : place + 6] = b"\xff" * 6
    with pytest.raises(BadArchive, match="Could not unzip"):
        CodeStore(tmp_path).unpack(bytes(broken))
