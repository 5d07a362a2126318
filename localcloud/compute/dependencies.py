"""What a function's folder and a layer's need beside their own files: requirements installed, makefiles run, cached.

A build is a folder in the cache, named by all that it was made of (content, interpreter, recipe), made once under a
lock and renamed when whole. What `sam build` has made is taken as it is where it is newer than its sources and made for
this machine. Blocking: call from a worker thread. Knows folders and interpreters; no template, no function.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcloud.compute.code_files import copy_code, list_code
from localcloud.compute.installer import Progress, find_build_python, install, make_once, run_build
from localcloud.compute.interpreters import Interpreter
from sluiceway.errors import Misconfigured

__all__ = ["Builder", "FunctionCode", "Made"]

SAM_BUILD: Final = Path(".aws-sam") / "build"
_ELF_MACHINES: Final = {0x3E: "x86_64", 0xB7: "aarch64"}  # e_machine of the ELF header
_PYTHON_METHOD: Final = re.compile(r"python3\.\d+")


@dataclass(frozen=True, slots=True)
class FunctionCode:
    """Where a function's code is: its task root, and folders to add to the import path after it.

    `is_layer`: it is the root of a layer instead, as Lambda would unpack it into /opt.
    """

    task_root: Path
    dependency_dirs: tuple[Path, ...] = ()
    is_layer: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a source folder for a resource; `again` makes it of what is there then, and blocks.

    `what` is the resource's logical id. `again` raises as the first making does.
    """

    what: str
    source: Path
    code: FunctionCode
    again: Callable[[], FunctionCode]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds for one local cloud. `base` is the template's folder, `environ` the developer's environment.

    `note` is told of all that was made, in the thread that made it.
    """

    cache_dir: Path
    base: Path
    environ: Mapping[str, str]
    progress: Progress
    note: Callable[[Made], None] | None = None

    def build_function(self, logical_id: str, code_uri: str, interpreter: Interpreter) -> FunctionCode:
        """The code of a function: edited files are used where they lie, requirements come from the cache.

        Raises Misconfigured where the folder is missing or an installation fails.
        """
        source = self._source(logical_id, code_uri)
        return self._noted(logical_id, source, lambda: self._function_code(logical_id, source, interpreter))

    def install_ahead(self, logical_id: str, code_uri: str, interpreter: Interpreter) -> None:
        """Install what a function requires, so that `build_function` finds it. Raises Misconfigured as that does."""
        source = self._source(logical_id, code_uri)
        requirements = source / "requirements.txt"
        if _names_packages(requirements) and self._sam_build(logical_id, source, interpreter) is None:
            self._install(logical_id, requirements, interpreter)

    def _function_code(self, logical_id: str, source: Path, interpreter: Interpreter) -> FunctionCode:
        built = self._sam_build(logical_id, source, interpreter)
        if built is not None:
            self.progress(f"{logical_id} runs from {SAM_BUILD / logical_id}, which is newer than its sources")
            return FunctionCode(built)
        requirements = source / "requirements.txt"
        if not _names_packages(requirements):
            return FunctionCode(source)
        return FunctionCode(source, (self._install(logical_id, requirements, interpreter),))

    def build_layer(self, logical_id: str, content_uri: str, interpreter: Interpreter, *, method: str = "") -> Path:
        """The root of a layer, as Lambda would unpack it into /opt.

        `method` is Metadata.BuildMethod: `makefile`, `python3.x`, or "" for a folder that is the layer already.
        Raises Misconfigured for another method, a missing folder, and a build that fails.
        """
        source = self._source(logical_id, content_uri)

        def make() -> FunctionCode:
            return FunctionCode(self._layer_root(logical_id, source, interpreter, method=method), is_layer=True)

        root = self._noted(logical_id, source, make).task_root
        if (root / "extensions").is_dir():
            self.progress(f"{logical_id} holds extensions: none is started here")
        return root

    def _layer_root(self, logical_id: str, source: Path, interpreter: Interpreter, *, method: str) -> Path:
        if not method:
            return source
        built = self._sam_build(logical_id, source, interpreter)
        if built is not None:
            return built
        if method == "makefile":
            return self._make(logical_id, source, interpreter)
        if _PYTHON_METHOD.fullmatch(method):
            return self._install_layer(logical_id, source, interpreter)
        raise Misconfigured(f"BuildMethod {method!r} is not served here: makefile and python3.x are", what=logical_id)

    # ------------------------------------------------------------------ inside

    def _noted(self, what: str, source: Path, make: Callable[[], FunctionCode]) -> FunctionCode:
        code = make()
        if self.note is not None:
            self.note(Made(what, source, code, make))
        return code

    def _source(self, logical_id: str, uri: str) -> Path:
        source = (self.base / uri).resolve()
        if not source.is_dir():
            raise Misconfigured(f"{uri} is not a folder beside the template", what=logical_id)
        return source

    def _sam_build(self, logical_id: str, source: Path, interpreter: Interpreter) -> Path | None:
        built = self.base / SAM_BUILD / logical_id
        if not built.is_dir():
            return None
        made = built.stat().st_mtime
        if any(path.stat().st_mtime > made for path in _files(source)):
            return None
        return built if all(_runs_here(path, interpreter) for path in built.rglob("*.so")) else None

    def _install(self, logical_id: str, requirements: Path, interpreter: Interpreter) -> Path:
        digest = _digest(str(interpreter), requirements.read_bytes())
        target = self.cache_dir / "dependencies" / f"{interpreter.name}-{interpreter.platform}-{digest}"

        def make(folder: Path) -> None:
            self.progress(f"Installing the requirements of {logical_id}")
            began = time.monotonic()
            install(requirements, folder, interpreter=interpreter, environ=self.environ)
            self.progress(f"Installed the requirements of {logical_id} in {time.monotonic() - began:.1f} s")

        return make_once(target, make)

    def _install_layer(self, logical_id: str, source: Path, interpreter: Interpreter) -> Path:
        """`BuildMethod: python3.x`: the folder and its requirements under `python/`, as `sam build` lays them out."""

        def make(folder: Path) -> None:
            self.progress(f"Building the layer {logical_id}")
            copy_code(source, folder / "python")
            if _names_packages(source / "requirements.txt"):
                install(source / "requirements.txt", folder / "python", interpreter=interpreter, environ=self.environ)

        return make_once(self._layer_target(logical_id, source, interpreter), make)

    def _make(self, logical_id: str, source: Path, interpreter: Interpreter) -> Path:
        """`BuildMethod: makefile`: target `build-<logical id>` in a copy of the folder, with ARTIFACTS_DIR."""
        if not (source / "Makefile").is_file():
            raise Misconfigured(f"{source.name} has no Makefile", what=logical_id)

        def make(folder: Path) -> None:
            self.progress(f"Building the layer {logical_id}")
            scratch = folder.with_name(folder.name + ".source")
            try:
                copy_code(source, scratch)
                python = find_build_python(interpreter)
                environ = {**self.environ, "ARTIFACTS_DIR": str(folder), "PYTHON": python}
                run_build(["make", f"build-{logical_id}"], cwd=scratch, environ=environ, what=f"build {logical_id}")
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

        return make_once(self._layer_target(logical_id, source, interpreter), make)

    def _layer_target(self, logical_id: str, source: Path, interpreter: Interpreter) -> Path:
        pairs = [(str(path.relative_to(source)).encode(), path.read_bytes()) for path in _files(source)]
        digest = _digest(f"{interpreter} {logical_id}", *(part for pair in pairs for part in pair))
        return self.cache_dir / "layers" / f"{logical_id}-{interpreter.name}-{interpreter.platform}-{digest}"


def _files(folder: Path) -> Iterator[Path]:
    """Every file of a source folder in a fixed order, without what tools leave behind."""
    return (path for path in list_code(folder) if not path.name.endswith(".pyc"))


def _runs_here(library: Path, interpreter: Interpreter) -> bool:
    """Whether a shared library is for this machine and interpreter: `sam build` builds arm64 by default."""
    version = re.search(r"\.cpython-3(\d+)", library.name)
    if version and int(version[1]) != interpreter.version[1]:
        return False
    with library.open("rb") as file:
        head = file.read(20)
    machine = _ELF_MACHINES.get(int.from_bytes(head[18:20], "little")) if head.startswith(b"\x7fELF") else None
    return machine is not None and interpreter.platform.endswith(machine)


def _names_packages(requirements: Path) -> bool:
    if not requirements.is_file():
        return False
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _digest(first: str, *parts: bytes) -> str:
    digest = hashlib.sha256(first.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
