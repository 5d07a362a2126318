"""Arguments of `sluiceway regions`. Apart from what runs it, since every other command reads them too."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from localcloud.cli.numbers import whole_number
from sluiceway.rules.terms import LEASE_MS, SKEW_MS

__all__ = ["add_regions"]

MAX_APPROVAL_CHARACTERS: Final = 1_024  # it is in every reading of the term
MAX_SECONDS: Final = 900  # `rules.terms.first_term`
MAX_DRILL_MINUTES: Final = 24 * 60  # `codec.switch`
MAX_EPOCH: Final = 2**53 - 1  # whole in the JSON of every reader

_BY_TABLE: Final = {"show": "the term of the group", "found": "begin the group's first term", "raise": "hand over"}
_BY_FUNCTION: Final = {
    "look": "whether the home could be handed over now",
    "approve": "hand over through switch_region, if nothing speaks against it",
    "drill": "let a Region say that it is unwell",
    "survey": "alarms, health checks and executions of a plan, as a Region sees them",
}
_BY_ACCOUNT: Final = {"parity": "what two Regions do not have alike: limits, functions, tables"}
_BY_HOST: Final = {
    "status": "the Regions of the local cloud, and what is between them",
    "kill": "lose a Region of the local cloud",
    "recover": "let a Region that was killed go on",
    "cut": "let nothing through between two Regions of the local cloud",
    "heal": "let everything through again",
}


def add_regions(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the subcommand's arguments."""
    regions = add("regions", help="the Region that may begin work: show it, found the group, hand over")
    regions.set_defaults(module="handing_over", action="show")
    _add_words(regions, first=True)
    actions = regions.add_subparsers(metavar="action", help="show where left out")
    for name, said in _BY_TABLE.items():
        action = _add_action(actions, name, said, module="handing_over")
        _add_words(action, first=False)
        if name == "found":
            _add_found(action)
        elif name == "raise":
            _add_raise(action)
    for name, said in _BY_FUNCTION.items():
        action = _add_action(actions, name, said, module="switching")
        _add_switch(action, name)
    _add_rehearse(_add_action(actions, "rehearse", "lose the home under load, fail over and back", module="rehearsing"))
    for name, said in _BY_ACCOUNT.items():
        action = _add_action(actions, name, said, module="parity")
        _add_parity(action)
    for name, said in _BY_HOST.items():
        action = _add_action(actions, name, said, module="outages")
        _add_outage(action, name)


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage] - argparse has no other name for it
    name: str,
    said: str,
    *,
    module: str,
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=said, allow_abbrev=False)
    action.set_defaults(module=module, action=name)
    action.add_argument("--state", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return action


def _add_switch(action: argparse.ArgumentParser, name: str) -> None:
    """What `switch_region` is asked for."""
    if name == "drill":
        action.add_argument("region", metavar="REGION", help="the Region that is to say that it is unwell")
        action.add_argument(
            "--minutes",
            type=whole_number("a drill", 0, MAX_DRILL_MINUTES),
            default=10,
            metavar="N",
            help="for how long; 0 ends it; default: %(default)s",
        )
    else:
        told = "the Region that is to tell" if name == "survey" else "the next home Region"
        action.add_argument("--to", required=name == "approve", metavar="REGION", help=told)
    if name == "approve":
        action.add_argument("--force", action="store_true", help="hand over whatever speaks against it")
    if name not in {"look", "survey"}:
        _add_approval(action)
    action.add_argument(
        "--function", default="", metavar="NAME", help="switch_region's name in AWS; default: the local cloud's"
    )
    action.add_argument(
        "--regions", metavar="A,B", default=argparse.SUPPRESS, help="with --function: both Regions of the pair"
    )
    _add_json(action)


def _add_rehearse(action: argparse.ArgumentParser) -> None:
    """A pair of the local cloud, and its clients."""
    action.add_argument(
        "--requests",
        type=whole_number("a number of requests", 1, 100_000),
        default=2_000,
        metavar="N",
        help="clients, each of which wants one record stored; default: %(default)s",
    )
    action.add_argument(
        "--rate", type=whole_number("a rate", 1, 1_000), default=10, metavar="N", help="begin in a second; default: 10"
    )
    action.add_argument("--name", default="api.example.com", help="what clients call; default: %(default)s")
    action.add_argument("--group", default="sluiceway", metavar="NAME", help="of the Regions; default: %(default)s")
    _add_json(action)


def _add_parity(action: argparse.ArgumentParser) -> None:
    """Which stacks are held against one another."""
    action.add_argument("--stack", default="sluiceway", metavar="NAME", help="of both stacks; default: %(default)s")
    action.add_argument(
        "--regions", metavar="A,B", default=argparse.SUPPRESS, help="default: REGIONS, or the local cloud's"
    )
    action.add_argument("--local", action="store_true", default=argparse.SUPPRESS, help="ask the local cloud, not AWS")
    _add_json(action)


def _add_outage(action: argparse.ArgumentParser, name: str) -> None:
    """What becomes of the Regions of a local cloud."""
    if name in {"kill", "recover"}:
        action.add_argument("region", metavar="REGION")
    elif name in {"cut", "heal"}:
        action.add_argument("source", metavar="FROM")
        action.add_argument("target", metavar="TO")
        action.add_argument("--one-way", action="store_true", help="only what goes from the first to the second")
    _add_json(action)


def _add_found(action: argparse.ArgumentParser) -> None:
    action.add_argument("--home", required=True, metavar="REGION", help="the first home Region")
    action.add_argument(
        "--lease-s",
        type=whole_number("a lease", 1, MAX_SECONDS),
        default=LEASE_MS // 1000,
        metavar="N",
        help="for how long a reading of the term lets a Region begin work; default: %(default)s",
    )
    action.add_argument(
        "--skew-s",
        type=whole_number("a skew", 0, MAX_SECONDS),
        default=SKEW_MS // 1000,
        metavar="N",
        help="by how much two clocks may differ; default: %(default)s",
    )


def _add_raise(action: argparse.ArgumentParser) -> None:
    action.add_argument("--to", required=True, metavar="REGION", help="the next home Region")
    _add_approval(action)
    action.add_argument(
        "--ends",
        type=whole_number("an epoch", 1, MAX_EPOCH),
        metavar="EPOCH",
        help="the epoch that the approval is about: said again later, it moves nothing",
    )


def _add_words(parser: argparse.ArgumentParser, *, first: bool) -> None:
    """Before or after the action; what is said later counts."""
    named = None if first else argparse.SUPPRESS
    for flag, metavar, said in (
        ("--group", "NAME", "default: REGION_GROUP"),
        ("--regions", "A,B", "all Regions of the group; default: REGIONS"),
        ("--terms-table", "NAME", "the table of the term; default: TERMS_TABLE"),
        ("--terms-region", "REGION", "where that table is; default: TERMS_REGION"),
    ):
        parser.add_argument(flag, metavar=metavar, default=named, help=said)
    default = False if first else argparse.SUPPRESS
    parser.add_argument("--local", action="store_true", default=default, help="ask the local cloud, not AWS")
    parser.add_argument("--json", action="store_true", dest="as_json", default=default, help="for scripts")


def _add_approval(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--approval", required=True, type=_approval, metavar="TEXT", help="who decided it, and where that is written"
    )


def _add_json(action: argparse.ArgumentParser) -> None:
    """Beside the one before the action, whose default holds."""
    action.add_argument("--json", action="store_true", dest="as_json", default=argparse.SUPPRESS, help="for scripts")


def _approval(text: str) -> str:
    if not text.strip() or len(text) > MAX_APPROVAL_CHARACTERS:
        message = f"an approval names who decided it, in 1 to {MAX_APPROVAL_CHARACTERS:,} characters"
        raise argparse.ArgumentTypeError(message)
    return text
