"""`sluiceway simulate`: two Regions that guard the same keys, in bad weather: many seeds in sums, or one in full."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Final

from localcloud.simulation.history import describe
from localcloud.simulation.run import Result, play, run_seeds
from localcloud.simulation.setting import FENCED, Setting

__all__ = ["run"]

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


def run(options: argparse.Namespace) -> int:
    """0 where everything held, 1 where a fenced mode broke a property (that `naive` does is what it is there for)."""
    logging.disable(logging.CRITICAL)
    setting = Setting(mode=options.mode, keys=options.keys)
    if options.seed is not None and options.seeds is None:
        return _replay(options, setting)
    first, count = options.seed or 0, options.seeds or 1_000
    seeds = range(first, first + count)
    jobs = min(options.jobs or os.cpu_count() or 1, max(1, count // 50))
    results = list(_show_progress(run_seeds(seeds, setting, jobs=jobs), count))
    if options.as_json:
        sys.stdout.write(json.dumps(_summarise(results, setting, first)) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _table(results, setting))
    return _code(results, setting)


def _code(results: list[Result], setting: Setting) -> int:
    return 1 if setting.mode in FENCED and any(result.verdict.faults for result in results) else 0


def _show_progress(results: Iterator[Result], count: int) -> Iterator[Result]:
    is_shown = sys.stderr.isatty()
    broken = 0
    for number, result in enumerate(results, 1):
        broken += bool(result.verdict.faults)
        if is_shown and (number % 25 == 0 or number == count):
            sys.stderr.write(f"\r{number:,} of {count:,} seeds, {broken:,} broke a property")
            sys.stderr.flush()
        yield result
    if is_shown:
        sys.stderr.write("\n")


def _replay(options: argparse.Namespace, setting: Setting) -> int:
    """One seed with its history."""
    history, result = play(options.seed, setting)
    if options.as_json:
        summary = _summarise([result], setting, options.seed)
        summary["history"] = [event._asdict() for event in history.events]
        sys.stdout.write(json.dumps(summary) + "\n")
        return _code([result], setting)
    sys.stdout.writelines(f"{describe(event)}\n" for event in history.events)
    sys.stdout.write("\n")
    sys.stdout.writelines(f"{line}\n" for line in _table([result], setting))
    return _code([result], setting)


def _sums(results: list[Result]) -> dict[str, int]:
    return {name: sum(getattr(result.verdict, name) for result in results) for name in _COUNTS}


def _summarise(results: list[Result], setting: Setting, first: int) -> dict[str, object]:
    return {
        "mode": setting.mode,
        "first_seed": first,
        "seeds": len(results),
        **_sums(results),
        "seeds_with_a_key_run_twice": sum(result.verdict.twice > 0 for result in results),
        "broken": [
            {"seed": result.seed, "faults": [fault._asdict() for fault in result.verdict.faults]}
            for result in results
            if result.verdict.faults
        ],
    }


def _table(results: list[Result], setting: Setting) -> Iterator[str]:
    broken = [result for result in results if result.verdict.faults]
    yield f"{'mode':<32}{setting.mode:>12}"
    yield f"{'seeds':<32}{len(results):>12,}"
    for name, count in _sums(results).items():
        yield f"{_COUNTS[name]:<32}{count:>12,}"
    yield f"{'seeds with a key run twice':<32}{sum(result.verdict.twice > 0 for result in results):>12,}"
    yield f"{'seeds that broke a property':<32}{len(broken):>12,}"
    for result in broken[:SHOWN]:
        for number in sorted({fault.number for fault in result.verdict.faults}):
            fault = next(fault for fault in result.verdict.faults if fault.number == number)
            yield f"seed {result.seed}: property {number}: {' '.join(filter(None, (fault.key, fault.what)))}"
    if len(broken) > SHOWN:
        yield f"... and {len(broken) - SHOWN:,} seeds more: --json names them all"
    if broken:
        yield f"see one: sluiceway simulate --mode {setting.mode} --keys {setting.keys} --seed {broken[0].seed}"
