"""`sluiceway regions`: which Region is home. Shows the term, founds a group, and hands over on somebody's approval.

Owns words and lines; what a term allows and how one is begun is `sluiceway.region`'s. It asks the table of the term in
AWS, or wherever the endpoint settings of the AWS SDKs point, with the settings of a function of the tier `home`;
`--local` asks the local cloud that runs.
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
from localcloud.cli.term_dates import tell_begin, tell_date
from sluiceway.errors import Misconfigured, SluicewayError
from sluiceway.ports import SystemClock
from sluiceway.region.handover import found_group, raise_epoch
from sluiceway.region.records import GroupTerms, open_terms
from sluiceway.rules.terms import NOT_YET_MS, PastTerm, Term, first_term

__all__ = ["run"]

_WORDS: Final = {
    "group": "REGION_GROUP",
    "regions": "REGIONS",
    "terms_table": "TERMS_TABLE",
    "terms_region": "TERMS_REGION",
}


class _Answer(NamedTuple):
    """The term to show, and what stands in the way, if anything does."""

    term: Term | None
    refusal: str = ""


def run(options: argparse.Namespace) -> int:
    """0 done; 1 refused or failed; 2 called or set wrongly. Raises NotRunning.

    What the layer logs of it goes to standard error.
    """
    environ = read_region_settings(options, _WORDS)
    try:
        with asyncio.Runner() as runner, redirect_stdout(sys.stderr):
            answer = runner.run(_act(options, environ))
    except SluicewayError as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    if answer.term is not None:
        sys.stdout.write(_tell(answer.term, now_ms=SystemClock().now_ms(), as_json=options.as_json))
    if answer.refusal:
        sys.stderr.write(f"sluiceway: {answer.refusal}\n")
    return 1 if answer.refusal else 0


async def _act(options: argparse.Namespace, environ: Mapping[str, str]) -> _Answer:
    async with open_terms(environ) as group:
        if options.action == "found":
            return await _found(group, options)
        if options.action == "raise":
            group.check(options.to)
            raised = await raise_epoch(
                group.terms,
                group=group.name,
                to=options.to,
                approval=options.approval,
                ends=options.ends,
                clock=SystemClock(),
            )
            return _Answer(raised)
        term = await group.terms.get(group.name)
        return _Answer(term, "" if term else f"the group {group.name} has no term yet; `sluiceway regions found`")


async def _found(group: GroupTerms, options: argparse.Namespace) -> _Answer:
    group.check(options.home)
    first = first_term(
        group.name,
        options.home,
        now_ms=SystemClock().now_ms(),
        lease_ms=options.lease_s * 1000,
        skew_ms=options.skew_s * 1000,
    )
    term = await found_group(group.terms, first)
    same = term._replace(begins_ms=first.begins_ms) == first
    return _Answer(term, "" if same else f"the group {group.name} was founded before, and keeps this term")


# ------------------------------------------------------------ lines


def _tell(term: Term, *, now_ms: int, as_json: bool) -> str:
    if as_json:
        return json.dumps(term._asdict() | {"past": [past._asdict() for past in term.past]}, indent=1) + "\n"
    return "".join(f"{line}\n" for line in _lines(term, now_ms))


def _lines(term: Term, now_ms: int) -> list[str]:
    """A line each, whatever is in the approval."""
    lines = [
        f"group     {term.group}",
        f"home      {term.region}, epoch {term.epoch}, {tell_begin(term.begins_ms, now_ms)}",
        f"approval  {json.dumps(term.approval)}",
        f"lease     {term.lease_ms / 1000:g} s, clocks may differ by {term.skew_ms / 1000:g} s",
    ]
    past = [f"before    {each.region}, epoch {each.epoch}, {_ends(term, each, now_ms)}" for each in reversed(term.past)]
    return lines + past


def _ends(term: Term, past: PastTerm, now_ms: int) -> str:
    if term.begins_ms == NOT_YET_MS and past == term.past[-1]:
        return "closed"
    return f"{'ends' if past.ended_ms > now_ms else 'ended'} {tell_date(past.ended_ms)}"
