"""The example of docs/regions.md runs as it stands, and says what its comment says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from localcloud.clock import run_virtual
from tests.unit.idempotency_setup import HostClock

PAGE = Path(__file__).resolve().parents[2] / "docs" / "regions.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_says_what_its_comment_says() -> None:
    """An end, a refusal that names the home, a hand-over, a parked key and a new one that is done."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[0], "docs/regions.md", "exec", dont_inherit=True), names)
    comment = re.search(r"return said  # (\[.*\])", BLOCKS[0])
    assert comment is not None
    assert repr(run_virtual(lambda: names["tell"](HostClock()))).replace("'", '"') == comment[1]
