"""The examples of docs/consuming.md run as they stand, and its tables name what there is."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sluiceway.events.kinesis import KinesisRecord
from sluiceway.flows.consume import ConsumeOptions, Manner, ReplayOptions, ReplayProgress
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.rules.consuming.spans import Span
from tests.fakes import LoopClockMs
from tests.unit.consume_setup import BRISK, make_reader, put_all
from tests.unit.kinesis_setup import Api, with_api

PAGE = Path(__file__).resolve().parents[2] / "docs" / "consuming.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def run_block(at: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[at], f"docs/consuming.md, block {at}", "exec", dont_inherit=True), names)
    return names


def test_a_charge_is_made_once() -> None:
    """The second example: the same record twice, another of the same aggregate once."""

    async def body(_: Api) -> None:
        charged: list[int | None] = []

        async def charge(record: KinesisRecord) -> None:
            charged.append(record.sub_sequence)

        one = run_block(1)["charge_once"](charge, MemoryIdempotencyStore())
        first = KinesisRecord("7", "k", b"", 0, "shardId-000000000000", "arn", sub_sequence=0)
        for record in (first, first._replace(sub_sequence=1), first):
            await one(record)
        assert charged == [0, 1]

    with_api(body)


def test_a_replay_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The third: what arrived between two times, and a line each thousand records."""

    async def body(api: Api) -> None:
        await api.make()
        await put_all(api, ("k", b"old"))
        await asyncio.sleep(10)
        since_ms = round(api.clock.time() * 1000)
        for _ in range(3):
            await put_all(api, *(("k", b"12345") for _ in range(400)))
            await asyncio.sleep(1)
        until_ms = round(api.clock.time() * 1000)
        await asyncio.sleep(10)
        await put_all(api, ("k", b"new"))
        options = ReplayOptions(manner=BRISK, clock=LoopClockMs())
        assert await run_block(2)["count_bytes"](make_reader(api), since_ms, until_ms, options) == 6_000
        assert capsys.readouterr().out.splitlines() == ["0 of 1 shards 1000"]

    with_api(body)


def test_every_option_is_in_the_table_with_its_default() -> None:
    """No option is left out, and the defaults are those of the code."""
    table = TEXT.partition("## Options")[2].partition("The five calls")[0]
    named = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE))
    assert set(named) == {field.name for field in fields(ConsumeOptions)}
    for name in set(named) - {"lane_of", "manner"}:
        value = getattr(ConsumeOptions(), name)
        assert named[name].strip("`") == (f"{value:g}" if isinstance(value, float) else str(value)), name
    for field in fields(Manner):
        assert f"`{field.name}` ({getattr(Manner(), field.name):g})" in table


def test_every_member_of_spans_and_replays_is_named() -> None:
    """So that nobody has to read the code for them."""
    for kind in (Span, ReplayOptions, ReplayProgress):
        for field in fields(kind):
            assert re.search(rf"\b{field.name}\b", TEXT), field.name
