"""Who may import whom: the contracts of pyproject.toml hold, and each would catch what it forbids."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("layers/sluiceway/sluiceway", "localcloud", "functions")
# One import that breaks the contract: where it is written, and what.
VIOLATIONS = {
    "localcloud and functions are independent; both may import sluiceway": ("functions/read_job/app.py", "localcloud"),
    "functions are independent of one another": ("functions/read_job/app.py", "functions.generate_answer.app"),
    "the layer's order, high to low": ("layers/sluiceway/sluiceway/errors.py", "sluiceway.app"),
    "flows reach AWS through ports only": ("layers/sluiceway/sluiceway/flows/batch.py", "sluiceway.aws.wire"),
    "the layer never imports what ships elsewhere": ("layers/sluiceway/sluiceway/log.py", "localcloud.clock"),
    "only sluiceway.aws may know an AWS SDK": ("layers/sluiceway/sluiceway/codec/sqs.py", "boto3"),
}


def _lint(folder: Path) -> tuple[int, dict[str, str]]:
    """The exit code of lint-imports on a tree, and each contract's verdict."""
    environment = dict(os.environ) | {
        "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'layers' / 'sluiceway'}",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    # An editable installation puts the checkout on the path too, and `functions`, a namespace, would be both trees.
    elsewhere = [] if folder == ROOT else [str(ROOT), str(ROOT / "layers" / "sluiceway")]
    code = (
        f"import sys; sys.path[:] = [entry for entry in sys.path if entry not in {elsewhere!r}]; "
        "from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", done.stdout, flags=re.MULTILINE))
    assert verdicts, done.stdout + done.stderr
    return done.returncode, verdicts


def _names() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of what is shipped, to break."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_holds() -> None:
    """lint-imports finds every contract of pyproject.toml kept."""
    assert _lint(ROOT) == (0, dict.fromkeys(_names(), "KEPT"))


def test_every_contract_has_a_violation_here() -> None:
    """A contract that is added to pyproject.toml is proved below as well."""
    assert sorted(VIOLATIONS) == sorted(_names())


def test_each_contract_catches_its_violation(copied: Path) -> None:
    """One forbidden import for each contract: lint-imports fails, and every one of them is broken."""
    for path, imported in VIOLATIONS.values():
        with (copied / path).open("a", encoding="utf-8") as module:
            module.write(f"\nimport {imported}\n")
    assert _lint(copied) == (1, dict.fromkeys(VIOLATIONS, "BROKEN"))


def test_a_module_that_the_order_does_not_name_is_caught(copied: Path) -> None:
    """The order of the layer is exhaustive: a new top-level module must be given its place."""
    (copied / "layers" / "sluiceway" / "sluiceway" / "newcomer.py").write_text('"""New."""\n', encoding="utf-8")
    code, verdicts = _lint(copied)
    assert code == 1
    assert [name for name, verdict in verdicts.items() if verdict == "BROKEN"] == ["the layer's order, high to low"]


def test_an_import_inside_a_function_counts(copied: Path) -> None:
    """A lazy import is an import: the hot path hides no SDK inside a function."""
    with (copied / "layers/sluiceway/sluiceway/flows/job.py").open("a", encoding="utf-8") as module:
        module.write("\n\ndef late() -> None:\n    import aioboto3\n")
    _code, verdicts = _lint(copied)
    assert verdicts["only sluiceway.aws may know an AWS SDK"] == "BROKEN"
