"""Arguments of `sluiceway simulate`. Apart from what runs it, since every other command reads them too."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from localcloud.simulation.setting import MODES

__all__ = ["add_simulate"]

MAX_SEEDS: Final = 1_000_000
MAX_SEED: Final = 2**63 - 1
MAX_KEYS: Final = 10_000
MAX_JOBS: Final = 256


def _whole(name: str, least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 19 and least <= int(text) <= most):
            message = f"{name} is a whole number from {least} to {most:,}, not {text!r}"
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return read


def add_simulate(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the subcommand's arguments."""
    parser = add("simulate", help="try two Regions that share keys, in bad weather, on virtual time")
    parser.add_argument("--mode", choices=MODES, default="home", help="who may begin a key's work; default: home")
    parser.add_argument(
        "--seeds", type=_whole("a number of seeds", 1, MAX_SEEDS), metavar="N", help="how many runs; default: 1000"
    )
    parser.add_argument(
        "--seed",
        type=_whole("a seed", 0, MAX_SEED),
        metavar="S",
        help="this one alone, with its history; with --seeds the first of them",
    )
    parser.add_argument(
        "--keys", type=_whole("a number of keys", 1, MAX_KEYS), default=20, metavar="K", help="of a run; default: 20"
    )
    parser.add_argument(
        "--jobs", type=_whole("a number of processes", 1, MAX_JOBS), metavar="N", help="processes; default: one a core"
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="the result as JSON")
    parser.set_defaults(module="simulating")
