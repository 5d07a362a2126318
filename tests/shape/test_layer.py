"""What the built layer holds: the framework, what it imports, their compiled code, and nothing else."""

from __future__ import annotations

import _imp
import re
import subprocess
from pathlib import Path

from tests.shape.conftest import ROOT, BuiltLayer

SOURCE = ROOT / "layers" / "sluiceway" / "sluiceway"
MAX_BYTES = 12_000_000  # Powertools is 8 of it. Lambda takes 250 MB with the function; each megabyte is start-up
UNCHECKED_HASH = 1  # PEP 552: bit 0 hash-based, bit 1 checked against the source
PACKAGES = {
    "__pycache__", "aws_lambda_powertools", "aws_xray_sdk", "fastjsonschema", "jmespath", "sluiceway",
    "typing_extensions.py", "wrapt", "wrapt-stubs",
}  # fmt: skip


def _files(layer: BuiltLayer) -> list[Path]:
    return sorted(path for path in layer.folder.rglob("*") if path.is_file())


def _distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_layer_holds_the_packages_that_are_named_here(built_layer: BuiltLayer) -> None:
    """Beside the wrapper all lies under python/; its top level is this list and the metadata of what the lock pins."""
    assert sorted(path.name for path in built_layer.folder.iterdir()) == ["bootstrap", "python"]
    found = {path.name for path in (built_layer.folder / "python").iterdir()}
    metadata = {name for name in found if name.endswith(".dist-info")}
    assert found - metadata == PACKAGES
    lock = (ROOT / "layers" / "sluiceway" / "requirements.txt").read_text(encoding="utf-8")
    pinned = {f"{_distribution(name)}-{version}" for name, version in re.findall(r"(?m)^([\w.-]+)==([\w.]+)", lock)}
    pairs = [name.removesuffix(".dist-info").rsplit("-", 1) for name in metadata]
    assert {f"{_distribution(name)}-{version}" for name, version in pairs} == pinned


def test_the_framework_is_in_it_whole(built_layer: BuiltLayer) -> None:
    """Every source file of the framework is in the layer, byte for byte, and no other."""
    copied = built_layer.folder / "python" / "sluiceway"
    expected = {path.relative_to(SOURCE): path.read_bytes() for path in SOURCE.rglob("*.py")}
    assert {path.relative_to(copied): path.read_bytes() for path in copied.rglob("*.py")} == expected


def test_the_wrapper_can_be_executed(built_layer: BuiltLayer) -> None:
    """`AWS_LAMBDA_EXEC_WRAPPER=/opt/bootstrap` starts the layer's own runtime client."""
    wrapper = built_layer.folder / "bootstrap"
    assert wrapper.stat().st_mode & 0o777 == 0o755
    assert wrapper.read_bytes() == (SOURCE.parent / "bootstrap").read_bytes()


def test_every_module_is_compiled_for_the_runtime(built_layer: BuiltLayer) -> None:
    """Each .py has its .pyc for the runtime's interpreter, with an unchecked hash that is its source's own."""
    magic = _magic(built_layer)
    tag = f"cpython-3{built_layer.interpreter.version[1]}"
    modules = [path for path in _files(built_layer) if path.suffix == ".py"]
    assert len(modules) > 200
    for module in modules:
        head = (module.parent / "__pycache__" / f"{module.stem}.{tag}.pyc").read_bytes()[:16]
        assert head[:4] == magic, module
        assert int.from_bytes(head[4:8], "little") == UNCHECKED_HASH, module
        assert head[8:] == _imp.source_hash(int.from_bytes(magic, "little"), module.read_bytes()), module
    assert len([path for path in _files(built_layer) if path.suffix == ".pyc"]) == len(modules)


def _magic(layer: BuiltLayer) -> bytes:
    code = "import importlib.util as u; print(u.MAGIC_NUMBER.hex())"
    python = str(layer.interpreter.executable)
    return bytes.fromhex(subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout)


def test_the_layer_is_pure_python(built_layer: BuiltLayer) -> None:
    """No compiled library: one layer serves arm64 and x86_64, and any machine may build it."""
    assert [path for path in _files(built_layer) if path.suffix in {".so", ".pyd", ".dylib", ".a"}] == []


def test_no_tests_and_no_tools_ship(built_layer: BuiltLayer) -> None:
    """No test folder, no test module, no scripts, no installer."""
    names = {part for path in _files(built_layer) for part in path.relative_to(built_layer.folder).parts}
    assert names.isdisjoint({"tests", "test", "testing", "conftest.py", "bin", "pip", "setuptools"})
    assert [name for name in names if re.fullmatch(r"test_.*\.py|.*_test\.py", name)] == []


def test_the_layer_is_small(built_layer: BuiltLayer) -> None:
    """At most 12 MB unzipped, compiled code included."""
    assert sum(path.stat().st_size for path in _files(built_layer)) <= MAX_BYTES


def test_no_file_names_the_machine_that_built_it(built_layer: BuiltLayer) -> None:
    """Compiled code names its source under /opt/python: a traceback reads as in Lambda, and a build is reproducible."""
    machine = str(built_layer.folder.parent).encode()
    assert [path for path in _files(built_layer) if machine in path.read_bytes()] == []
    compiled = next((built_layer.folder / "python" / "sluiceway" / "__pycache__").glob("app.*.pyc"))
    assert b"/opt/python/sluiceway/app.py" in compiled.read_bytes()
