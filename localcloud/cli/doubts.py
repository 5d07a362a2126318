"""`sluiceway doubts`: what Regions that share keys leave to people. Lists it, asks again, and takes a person's word.

Owns words and lines; what a doubt is and how it ends is `sluiceway.region`'s. It asks AWS, or whatever the endpoint
settings of the AWS SDKs name, with the settings of a function of the tier `home` (`REGION_GROUP`, `REGIONS_TABLE`, and
for a drain the others); `--local` asks the local cloud that runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Final, NamedTuple

from localcloud.cli.region_settings import read_region_settings
from localcloud.cli.term_dates import tell_date
from sluiceway.aws.endpoints import read_region
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured, SluicewayError
from sluiceway.ports import SystemClock
from sluiceway.region.doubts import drain, list_doubts, note_unfinished, settle
from sluiceway.region.records import Records, open_doubts, open_records
from sluiceway.rules.terms import Doubt

__all__ = ["run"]

_SETTINGS: Final = {"group": "REGION_GROUP", "table": "REGIONS_TABLE", "region": "AWS_REGION"}


class _Answer(NamedTuple):
    """The exit code, and what goes to standard output."""

    code: int
    text: str


def run(options: argparse.Namespace) -> int:
    """0 done; 1 failed, or a drain left something parked; 2 called or set wrongly. Raises NotRunning.

    What the layer logs of it goes to standard error.
    """
    environ = read_region_settings(options, _SETTINGS)
    try:
        with asyncio.Runner() as runner, redirect_stdout(sys.stderr):
            answer = runner.run(_act(options, environ))
    except SluicewayError as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    sys.stdout.write(answer.text)
    return answer.code


async def _act(options: argparse.Namespace, environ: Mapping[str, str]) -> _Answer:
    async with Wire.open(environ) as wire:
        if options.action == "drain":
            async with open_records({**environ, "IDEMPOTENCY_TIER": "home"}, wire) as records:
                return await _drain(records, options)
        region, doubts = read_region(environ), open_doubts(environ, wire)
        now_s = SystemClock().now_ms() // 1000
        found = [doubt async for doubt in list_doubts(doubts, region) if doubt.expires_s >= now_s]
        if options.action == "list":
            return _Answer(0, _tell(found, as_json=options.as_json) or f"{region} has noted no doubts\n")
        chosen = [doubt for doubt in found if doubt.key == options.key]
        if not chosen:
            sys.stderr.write(f"sluiceway: {region} has noted no doubt of {options.key}\n")
            return _Answer(1, "")
        verdict = "not-done" if options.not_done else "open"
        settled = [await settle(doubts, doubt, verdict=verdict) for doubt in chosen]
        return _Answer(0, _tell(settled, as_json=options.as_json))


async def _drain(records: Records, options: argparse.Namespace) -> _Answer:
    clock = SystemClock()
    if options.scan:
        term = await records.terms.get(records.group)
        if term is None:
            raise Misconfigured(f"the group {records.group!r} has no term", what="REGION_GROUP")
        for region in records.regions:
            shelf = records.shelf(region)
            await note_unfinished(shelf, records.doubts, term=term, region=records.region, clock=clock)
    report = await drain(records.doubts, region=records.region, home=records.home, clock=clock)
    counts = report._asdict()
    line = json.dumps(counts) if options.as_json else ", ".join(f"{name} {count}" for name, count in counts.items())
    return _Answer(1 if report.parked else 0, f"{line}\n")


def _tell(doubts: list[Doubt], *, as_json: bool) -> str:
    if as_json:
        return json.dumps([doubt._asdict() for doubt in doubts], indent=1) + "\n"
    return "".join(map(_line, doubts))


def _line(doubt: Doubt) -> str:
    """One line, whatever is in the key."""
    key = doubt.key if doubt.key.isprintable() else json.dumps(doubt.key)
    word = doubt.state if doubt.state == "released" else doubt.why
    return (
        f"{word:<8}  {key}  epoch {doubt.epoch} of {doubt.home}, noted {tell_date(doubt.noted_ms)}, "
        f"until {tell_date(doubt.expires_s * 1000)}\n"
    )
