"""The Python in README and docs compiles, imports what exists, and is the repository's own where it says so."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.issuer import ISSUER
from sluiceway.rules.tokens import name_caller

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(?:python|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block of Python; `line` is where its code begins."""

    page: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def find_blocks() -> Iterator[Block]:
    """Every block of Python in the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            yield Block(str(page.relative_to(ROOT)), text.count("\n", 0, found.start(1)) + 1, found[1])


BLOCKS = list(find_blocks())


def test_the_readme_shows_a_function() -> None:
    """There is something to hold: the README's example is among the blocks."""
    assert "README.md" in {block.page for block in BLOCKS}


def test_the_readme_shows_the_job_id_that_one_gets() -> None:
    """The caller's pseudonym and the key `k1` in base64url: the lines can be copied as they stand."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bk\.[\w-]+\.\w+", text)) == {f"k.{name_caller(ISSUER, 'developer')}.azE"}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_compiles(block: Block) -> None:
    """It is Python, as it stands."""
    compile(block.code, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_a_block_imports_exists(block: Block) -> None:
    """Each module can be imported, and has each name taken from it."""
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            missing = [name.name for name in node.names if not _has(module.__name__, name.name)]
            assert missing == [], module.__name__


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_that_names_a_file_is_that_file(block: Block) -> None:
    """Every statement under `# path/to/file.py` stands in that file, letter for letter but for spaces."""
    named = _FILE.match(block.code)
    if named is None:
        pytest.skip("the block names no file")
    theirs = {ast.unparse(node) for node in ast.parse((ROOT / named[1]).read_text(encoding="utf-8")).body}
    assert [text for node in ast.parse(block.code).body if (text := ast.unparse(node)) not in theirs] == []


def _has(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None
