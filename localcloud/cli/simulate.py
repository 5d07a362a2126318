"""Arguments of `sluiceway simulate`. Apart from what runs it, since every other command reads them too."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from localcloud.cli.numbers import whole_number
from localcloud.simulation.setting import MODES

__all__ = ["add_simulate"]

MAX_SEEDS: Final = 1_000_000
MAX_SEED: Final = 2**63 - 1
MAX_KEYS: Final = 10_000
MAX_JOBS: Final = 256


def add_simulate(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the subcommand's arguments."""
    parser = add("simulate", help="try two Regions that share keys, in bad weather, on virtual time")
    parser.add_argument("--mode", choices=MODES, default="home", help="who may begin a key's work; default: home")
    parser.add_argument(
        "--seeds",
        type=whole_number("a number of seeds", 1, MAX_SEEDS),
        metavar="N",
        help="how many runs; default: 1000",
    )
    parser.add_argument(
        "--seed",
        type=whole_number("a seed", 0, MAX_SEED),
        metavar="S",
        help="this one alone, with its history; with --seeds the first of them",
    )
    parser.add_argument(
        "--keys",
        type=whole_number("a number of keys", 1, MAX_KEYS),
        default=20,
        metavar="K",
        help="of a run; default: 20",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number("a number of processes", 1, MAX_JOBS),
        metavar="N",
        help="processes; default: one a core",
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="the result as JSON")
    parser.set_defaults(module="simulating")
