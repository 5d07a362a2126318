"""Requirements and layers, really installed and built, from wheels that the tests make themselves."""

from __future__ import annotations

import asyncio
import os
import re
import time
import zipfile
from pathlib import Path

import pytest

from localcloud.compute.ahead import run_side_by_side
from localcloud.compute.dependencies import Builder
from localcloud.compute.installer import make_once
from localcloud.compute.interpreters import Interpreter, find_interpreter
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource
from localcloud.template.stack import stack_context
from sluiceway.errors import Misconfigured
from tests.local.compute_world import open_world


def interpreter() -> Interpreter:
    return find_interpreter("python3.11", environ=os.environ).interpreter


def builder(base: Path, said: list[str] | None = None) -> Builder:
    told = said if said is not None else []
    return Builder(cache_dir=base / "cache", base=base, environ=dict(os.environ), progress=told.append)


def write_wheel(folder: Path, name: str = "tinypkg", text: str = "answer = 42\n") -> None:
    """A wheel of one module, and a requirements.txt that names it."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "requirements.txt").write_text(f"# pinned\n./{name}-1.0-py3-none-any.whl\n")


def write_function(base: Path) -> Path:
    folder = base / "fn"
    folder.mkdir()
    (folder / "app.py").write_text("import tinypkg\ndef handler(e, c):\n    return tinypkg.answer\n")
    write_wheel(folder)
    return folder


async def test_a_function_with_requirements_runs(tmp_path: Path) -> None:
    """Its code stays where it is edited; what it requires comes from the cache."""
    said: list[str] = []
    folder = write_function(tmp_path)
    code = await asyncio.to_thread(builder(tmp_path, said).build_function, "Fn", "fn", interpreter())
    assert code.task_root == folder
    assert said[0] == "Installing the requirements of Fn"
    assert re.fullmatch(r"Installed the requirements of Fn in \d+\.\d s", said[1])
    assert len(said) == 2
    async with open_world(tmp_path) as world:
        world.add("", code_dir=code.task_root, dependency_dirs=code.dependency_dirs)
        assert await world.answer() == 42


async def test_requirements_of_several_functions_are_installed_side_by_side(tmp_path: Path) -> None:
    """Each begins before the first has ended; what is built later finds them there, and one that fails is named."""
    said: list[str] = []
    build = builder(tmp_path, said)
    resources: list[Resource] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_wheel(tmp_path / name, name=f"pack{name}")
        resources.append(Resource(name, "AWS::Lambda::Function", {"Code": name}, stack_context(tmp_path)))

    def install(resource: Resource) -> None:
        build.install_ahead(resource.logical_id, resource.properties["Code"], interpreter())

    await run_side_by_side(resources, install, place="Code")
    assert [line.partition(" in ")[0].split()[0] for line in said] == ["Installing"] * 2 + ["Installed"] * 2
    code = await asyncio.to_thread(build.build_function, "one", "one", interpreter())
    assert [(folder / "packone.py").is_file() for folder in code.dependency_dirs] == [True]
    assert len(said) == 4
    (tmp_path / "two" / "requirements.txt").write_text("./nowhere-1.0-py3-none-any.whl\n")
    with pytest.raises(TemplateError, match="could not install") as failed:
        await run_side_by_side(resources, install, place="Code")
    assert failed.value.where == "Resources.two.Properties.Code"


def test_requirements_are_installed_once_for_their_content(tmp_path: Path) -> None:
    """The second build is the first one's folder; other requirements are another folder."""
    said: list[str] = []
    folder = write_function(tmp_path)
    first = builder(tmp_path, said).build_function("Fn", "fn", interpreter())
    second = builder(tmp_path, said).build_function("Fn", "fn", interpreter())
    (folder / "requirements.txt").write_text("./tinypkg-1.0-py3-none-any.whl\n")
    third = builder(tmp_path, said).build_function("Fn", "fn", interpreter())
    assert first == second
    assert third.dependency_dirs != first.dependency_dirs
    assert [line.split()[0] for line in said] == ["Installing", "Installed"] * 2


def test_an_installation_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    """pip's own words; no half-made folder in the cache."""
    folder = tmp_path / "fn"
    folder.mkdir()
    (folder / "requirements.txt").write_text("./missing-1.0-py3-none-any.whl\n")
    with pytest.raises(Misconfigured, match="could not install"):
        builder(tmp_path).build_function("Fn", "fn", interpreter())
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and path.name != "dependencies"] == []


def test_what_sam_build_made_is_taken_while_it_is_newer(tmp_path: Path) -> None:
    """Newer than every source file: used as it is. An edit makes the sources count again."""
    folder = write_function(tmp_path)
    built = tmp_path / ".aws-sam" / "build" / "Fn"
    built.mkdir(parents=True)
    os.utime(built, (time.time() + 10, time.time() + 10))
    assert builder(tmp_path).build_function("Fn", "fn", interpreter()).task_root == built
    os.utime(folder / "app.py", (time.time() + 20, time.time() + 20))
    assert builder(tmp_path).build_function("Fn", "fn", interpreter()).task_root == folder


@pytest.mark.parametrize(
    ("name", "machine"),
    [("lib.cpython-399-x86_64-linux-gnu.so", 0x3E), ("lib.abi3.so", 0x28), ("lib.abi3.so", None)],
)
def test_a_sam_build_for_another_machine_is_not_taken(tmp_path: Path, name: str, machine: int | None) -> None:
    """Shared libraries of another interpreter or processor cannot run here."""
    folder = write_function(tmp_path)
    built = tmp_path / ".aws-sam" / "build" / "Fn"
    built.mkdir(parents=True)
    head = b"\x7fELF" + bytes(14) + (machine or 0).to_bytes(2, "little") if machine else b"\xcf\xfa\xed\xfe"
    (built / name).write_bytes(head)
    os.utime(built, (time.time() + 10, time.time() + 10))
    assert builder(tmp_path).build_function("Fn", "fn", interpreter()).task_root == folder


def test_a_python_layer_is_laid_out_as_sam_build_does(tmp_path: Path) -> None:
    """BuildMethod python3.x: the folder and its requirements under python/."""
    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "shared.py").write_text("x = 1\n")
    write_wheel(folder)
    root = builder(tmp_path).build_layer("L", "layer", interpreter(), method="python3.11")
    assert {"shared.py", "tinypkg.py"} <= {path.name for path in (root / "python").iterdir()}


def test_a_layer_is_built_again_where_its_sources_change(tmp_path: Path) -> None:
    """By content: an edit makes another build, undoing it gives the first one back."""
    folder = tmp_path / "layer"
    folder.mkdir()
    recipe = "build-L:\n\tmkdir -p $(ARTIFACTS_DIR)/python && cp one.py $(ARTIFACTS_DIR)/python/\n"
    (folder / "Makefile").write_text(recipe)
    (folder / "one.py").write_text("x = 1\n")
    said: list[str] = []
    roots: list[Path] = []
    for text in ("x = 1\n", "x = 2\n", "x = 1\n"):
        (folder / "one.py").write_text(text)
        roots.append(builder(tmp_path, said).build_layer("L", "layer", interpreter(), method="makefile"))
    assert roots[0] == roots[2] != roots[1]
    assert (roots[1] / "python" / "one.py").read_text() == "x = 2\n"
    assert len(said) == 2


def test_the_recipe_runs_in_a_copy(tmp_path: Path) -> None:
    """What a recipe writes beside its sources is gone, and the sources are as they were."""
    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "Makefile").write_text("build-L:\n\ttouch rubbish && mkdir -p $(ARTIFACTS_DIR)/python\n")
    root = builder(tmp_path).build_layer("L", "layer", interpreter(), method="makefile")
    assert (root / "python").is_dir()
    assert [path.name for path in folder.iterdir()] == ["Makefile"]


async def test_makers_at_the_same_time_make_once(tmp_path: Path) -> None:
    """One of eight threads makes the folder, the others wait for it."""
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "part").write_text("whole")

    target = tmp_path / "deep" / "target"
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.to_thread(make_once, target, make)) for _ in range(8)]
    assert len(made) == 1
    assert {task.result() for task in tasks} == {target}
    assert (target / "part").read_text() == "whole"
