"""What the page's files promise, read without a browser."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "localcloud" / "console" / "page"
FILES = sorted(PAGE.iterdir())
FORBIDDEN = {
    "markup from text": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc",
    "code from text": r"\beval\(|new Function|javascript:",
    "inline style or handler, which the policy refuses": r"<[^>]+\s(style|on\w+)=",
    "an address elsewhere": r"""["'(]\s*(https?:)?//(?!www\.w3\.org/)""",
}


def test_files_are_short() -> None:
    """A file of the page has at most 400 lines, of at most 220 characters."""
    assert len(FILES) > 20
    for file in FILES:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 400, file.name
        long = [line for line in lines if len(line) > 220 and "<path" not in line]
        assert file.suffix in {".css", ".html", ".svg"} or long == [], file.name


def test_nothing_dangerous_is_written() -> None:
    """No file makes markup or code of text, or reaches elsewhere."""
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        for what, pattern in FORBIDDEN.items():
            assert re.findall(pattern, text) == [], f"{file.name}: {what}"


def test_every_module_says_what_it_is() -> None:
    """A script opens with a comment that says what it owns."""
    for file in FILES:
        if file.suffix == ".js":
            assert file.read_text(encoding="utf-8").startswith("// "), file.name


def test_every_file_is_used() -> None:
    """Each script and style is loaded by the page, or imported by what is."""
    texts = {file.name: file.read_text(encoding="utf-8") for file in FILES}
    for name in texts:
        if name != "index.html":
            assert any(name in text for other, text in texts.items() if other != name), name
