"""Arguments of `sluiceway chaos`. Apart from what runs it, since every other command reads them too."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from localcloud.cli.numbers import whole_number

__all__ = ["add_chaos"]

MAX_SEED: Final = 2**63 - 1
MAX_PORT: Final = 65_535
MIN_FOR_S: Final = 5
MAX_FOR_S: Final = 3_600


def add_chaos(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the subcommand's arguments."""
    chaos = add("chaos", help="faults that are asked for: run a plan of them, a random one, or a Runtime API proxy")
    chaos.set_defaults(module="breaking")
    actions = chaos.add_subparsers(dest="action", required=True, metavar="run|status|stop|proxy")
    run = _add_action(actions, "run", "run a plan and report what was done; Ctrl-C undoes it")
    run.add_argument("plan", nargs="?", type=Path, metavar="PLAN.json", help="the plan")
    run.add_argument("--random", action="store_true", help="a plan made by the seed over what runs, printed first")
    _add_seed(run)
    run.add_argument(
        "--for",
        dest="for_s",
        type=whole_number("a length in seconds", MIN_FOR_S, MAX_FOR_S),
        metavar="S",
        help="with --random: how long, in seconds; default: 60",
    )
    run.add_argument("--json", action="store_true", dest="as_json", help="the report as JSON")
    for name, said in (("status", "whether a plan is on, and what it has done"), ("stop", "end the plan that is on")):
        _add_action(actions, name, said).add_argument("--json", action="store_true", dest="as_json", help="for scripts")
    _add_proxy(_add_action(actions, "proxy", "a Runtime API proxy before another Runtime API, such as the emulator's"))


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage] - argparse has no other name for it
    name: str,
    said: str,
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=said, allow_abbrev=False)
    action.add_argument("--state", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return action


def _add_seed(parser: argparse.ArgumentParser) -> None:
    said = "stands above the plan's own; with --random one is chosen where it is left out"
    parser.add_argument("--seed", type=whole_number("a seed", 0, MAX_SEED), metavar="N", help=said)


def _add_proxy(proxy: argparse.ArgumentParser) -> None:
    proxy.add_argument("--upstream", metavar="HOST:PORT", help="the Runtime API; default: $AWS_LAMBDA_RUNTIME_API")
    proxy.add_argument("--plan", type=Path, required=True, metavar="PLAN.json", help="a plan of function faults")
    _add_seed(proxy)
    proxy.add_argument(
        "--function", metavar="NAME", help="what the plan calls the function; default: $AWS_LAMBDA_FUNCTION_NAME"
    )
    proxy.add_argument(
        "--port", type=whole_number("a port", 0, MAX_PORT), default=0, metavar="N", help="default: a free one"
    )
    proxy.add_argument("program", nargs="*", metavar="-- PROGRAM", help="the runtime, run before the proxy")
