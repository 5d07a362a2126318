"""The examples of docs/regions.md run as they stand, and say what their comments say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from tests.unit.idempotency_setup import HostClock
from tests.unit.wire_server import environ

PAGE = Path(__file__).resolve().parents[2] / "docs" / "regions.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_says_what_its_comment_says() -> None:
    """An end, a refusal that names the home, a hand-over, a parked key and a new one that is done."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[0], "docs/regions.md", "exec", dont_inherit=True), names)
    comment = re.search(r"return said  # (\[.*\])", BLOCKS[0])
    assert comment is not None
    assert repr(run_virtual(lambda: names["tell"](HostClock()))).replace("'", '"') == comment[1]


async def test_the_settings_open_a_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's lifespan, with the settings of its table."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[1], "docs/regions.md", "exec", dont_inherit=True), names)
    told = environ(
        IDEMPOTENCY_TABLE="records",
        IDEMPOTENCY_TIER="home",
        REGION_GROUP="shop",
        REGIONS="eu-west-1,us-east-1",
        REGIONS_TABLE="regions",
        TERMS_TABLE="terms",
        TERMS_REGION="eu-central-1",
    )
    page = PAGE.read_text(encoding="utf-8")
    for name, value in told.items():
        monkeypatch.setenv(name, value)
        assert name.startswith("AWS_") or f"| `{name}` |" in page
    async with names["lifespan"]() as records:
        assert (records.tier, records.regions) == ("home", ("eu-west-1", "us-east-1"))
        assert not records.tenure.is_held()
