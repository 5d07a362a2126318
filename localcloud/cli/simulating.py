"""`sluiceway simulate`: two Regions that guard the same keys, in bad weather: many seeds in sums, or one in full."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from localcloud.simulation.history import describe
from localcloud.simulation.run import Result, play, run_seeds
from localcloud.simulation.setting import FENCED, Setting

__all__ = ["run"]

DEFAULT_SEEDS: Final = 1_000
SEEDS_A_JOB: Final = 50  # a process of its own costs as much as so many
SHOWN: Final = 20  # seeds that broke something, beside the sums

_COUNTS: Final = {
    "keys": "keys",
    "begins": "work begun",
    "acks": "results told",
    "twice": "keys run twice",
    "parked": "keys parked for a while",
    "in_doubt": "keys in doubt at the end",
    "not_started": "keys not started",
    "lost": "keys told and then lost",
}


@dataclass(slots=True)
class _Sums:
    """What is kept of all seeds: counts, and the verdicts that broke something."""

    setting: Setting
    seeds: int = 0
    seeds_twice: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    broken: list[Result] = field(default_factory=list[Result])

    def add(self, result: Result) -> None:
        self.seeds += 1
        self.seeds_twice += result.verdict.twice > 0
        for name in _COUNTS:
            self.counts[name] += getattr(result.verdict, name)
        if result.verdict.faults:
            self.broken.append(result)

    @property
    def code(self) -> int:
        return 1 if self.broken and self.setting.mode in FENCED else 0


def run(options: argparse.Namespace) -> int:
    """0 where everything held, 1 where a fenced mode broke a property (that `naive` does is what it is there for)."""
    logging.disable(logging.CRITICAL)
    sums = _Sums(Setting(mode=options.mode, keys=options.keys))
    if options.seed is not None and options.seeds is None:
        return _replay(options, sums)
    first, count = options.seed or 0, options.seeds or DEFAULT_SEEDS
    jobs = min(options.jobs or os.cpu_count() or 1, max(1, count // SEEDS_A_JOB))
    for result in run_seeds(range(first, first + count), sums.setting, jobs=jobs):
        sums.add(result)
        if sys.stderr.isatty() and (sums.seeds % 25 == 0 or sums.seeds == count):
            sys.stderr.write(f"\r{sums.seeds:,} of {count:,} seeds, {len(sums.broken):,} broke a property")
            sys.stderr.write("\n" if sums.seeds == count else "")
            sys.stderr.flush()
    if options.as_json:
        sys.stdout.write(json.dumps({"first_seed": first, **_summarise(sums)}) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _table(sums))
    return sums.code


def _replay(options: argparse.Namespace, sums: _Sums) -> int:
    """One seed with its history."""
    history, result = play(options.seed, sums.setting)
    sums.add(result)
    if options.as_json:
        told = [event._asdict() for event in history.events]
        sys.stdout.write(json.dumps({"first_seed": options.seed, **_summarise(sums), "history": told}) + "\n")
        return sums.code
    sys.stdout.writelines(f"{describe(event)}\n" for event in history.events)
    sys.stdout.write("\n")
    sys.stdout.writelines(f"{line}\n" for line in _table(sums))
    return sums.code


def _summarise(sums: _Sums) -> dict[str, object]:
    return {
        "mode": sums.setting.mode,
        "seeds": sums.seeds,
        **{name: sums.counts[name] for name in _COUNTS},
        "seeds_with_a_key_run_twice": sums.seeds_twice,
        "broken": [
            {"seed": result.seed, "faults": [fault._asdict() for fault in result.verdict.faults]}
            for result in sums.broken
        ],
    }


def _table(sums: _Sums) -> Iterator[str]:
    mode, broken = sums.setting.mode, sums.broken
    yield f"{'mode':<32}{mode:>12}"
    yield f"{'seeds':<32}{sums.seeds:>12,}"
    for name, words in _COUNTS.items():
        yield f"{words:<32}{sums.counts[name]:>12,}"
    yield f"{'seeds with a key run twice':<32}{sums.seeds_twice:>12,}"
    yield f"{'seeds that broke a property':<32}{len(broken):>12,}"
    for result in broken[:SHOWN]:
        for number in sorted({fault.number for fault in result.verdict.faults}):
            fault = next(fault for fault in result.verdict.faults if fault.number == number)
            yield f"seed {result.seed}: property {number}: {' '.join(filter(None, (fault.key, fault.what)))}"
    if len(broken) > SHOWN:
        yield f"... and {len(broken) - SHOWN:,} seeds more: --json names them all"
    if broken:
        yield f"see one: sluiceway simulate --mode {mode} --keys {sums.setting.keys} --seed {broken[0].seed}"
