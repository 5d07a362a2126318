"""The layer as it is built for Lambda, and the runtime that runs it: made once a session."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.compute.dependencies import Builder
from localcloud.compute.interpreters import Interpreter, find_interpreter
from localcloud.compute.runtimes import Runtimes

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluiceway"


@dataclass(frozen=True)
class BuiltLayer:
    """`folder` is what becomes /opt; `interpreter` is the one that it was compiled for."""

    folder: Path
    interpreter: Interpreter


@dataclass(frozen=True)
class ImportPath:
    """Lambda's import path on this machine: `python`, then a function's own folders, the layer, the runtime."""

    python: Path
    runtime_dir: Path
    layer: Path
    dependencies: tuple[Path, ...]

    def of(self, function: str) -> list[str]:
        """What stands in sys.path before the standard library."""
        folders = [ROOT / "functions" / function, *self.dependencies, self.layer / "python", self.runtime_dir]
        return [str(folder) for folder in folders]


def _builder(cache: Path) -> Builder:
    return Builder(cache_dir=cache, base=ROOT, environ=dict(os.environ), progress=print)


@pytest.fixture(scope="session")
def built_layer(tmp_path_factory: pytest.TempPathFactory) -> BuiltLayer:
    """The recipe of the layer, run as the local cloud runs it: a copy of its folder, ARTIFACTS_DIR and PYTHON."""
    interpreter = find_interpreter("python3.13", environ=os.environ).interpreter
    builder = _builder(tmp_path_factory.mktemp("layer"))
    folder = builder.build_layer("SluicewayLayer", "layers/sluiceway", interpreter, method="makefile")
    return BuiltLayer(folder, interpreter)


@pytest.fixture(scope="session")
def import_path(built_layer: BuiltLayer) -> ImportPath:
    """The managed runtime with the built layer, and authorize_request's requirements."""
    code = _builder(CACHE).build_function("AuthorizeRequest", "functions/authorize_request", built_layer.interpreter)
    with asyncio.Runner() as runner:
        runtime = runner.run(Runtimes(cache_dir=CACHE, environ=os.environ).get("python3.13"))
    return ImportPath(runtime.python, runtime.runtime_dir, built_layer.folder, code.dependency_dirs)
