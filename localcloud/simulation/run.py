"""Seeds, one after another or over processes, and what came of each."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

from localcloud.simulation.checker import Verdict, judge
from localcloud.simulation.history import History
from localcloud.simulation.setting import FENCED, Setting
from localcloud.simulation.world import World, live

__all__ = ["Result", "play", "run_seeds"]


class Result(NamedTuple):
    """What came of one seed."""

    seed: int
    verdict: Verdict


def play(seed: int, setting: Setting, *, make_world: type[World] = World) -> tuple[History, Result]:
    """One seed to its end, with its history."""
    history = live(seed, setting, make_world=make_world)
    verdict = judge(history, fenced=setting.mode in FENCED, reading_s=setting.term_lease_s)
    return history, Result(seed, verdict)


def run_seeds(seeds: Iterable[int], setting: Setting, *, jobs: int = 1) -> Iterator[Result]:
    """The results, in the order of the seeds, as they come. `jobs`: how many processes; 1 is this one."""
    if jobs == 1:
        for seed in seeds:
            yield _result_of(seed, setting)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_settle_in)
    try:
        yield from pool.map(partial(_result_of, setting=setting), seeds, chunksize=25)
    finally:
        pool.shutdown(cancel_futures=True)


def _result_of(seed: int, setting: Setting) -> Result:
    return play(seed, setting)[1]


def _settle_in() -> None:
    """A process writes no logs, and leaves Ctrl-C to the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
