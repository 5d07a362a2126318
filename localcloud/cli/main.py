"""Arguments of the `sluiceway` command.

Its exit codes: 0 done, 1 failed, 2 called wrongly, 3 refused by the ledger.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from localcloud.cli.chaos import add_chaos
from localcloud.cli.given import TEMPLATE, add_template_words
from localcloud.cli.invoke import add_invoke, explain_flag
from localcloud.cli.product import add_product
from localcloud.cli.regions import add_regions
from localcloud.cli.simulate import add_simulate
from localcloud.state import STATE_FOLDER, NotRunning

__all__ = ["main"]

DEFAULT_PORT: Final = 4600
MAX_REGIONS: Final = 4  # each is a cloud of its own, of some 100 MB and its functions
MAX_PORT: Final = 65_535
LAST_PORT: Final = 65_532  # of 65,535: HTTP and WebSocket endpoints and the console are on the three after it


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LAST_PORT:
        message = f"a port is 0 to {LAST_PORT}, not {text}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _debugger(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        message = f"a debugger's port is 1 to {MAX_PORT}, not {text}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        message = f"a number of lines is 0 or more, not {text}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _regions(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not 2 <= len(names) <= MAX_REGIONS or len(set(names)) != len(names):
        message = f"2 to {MAX_REGIONS} different Regions with commas between them, not {text}"
        raise argparse.ArgumentTypeError(message)
    for name in names:
        if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-[0-9]+", name):
            message = f"{name!r} is no Region's name"
            raise argparse.ArgumentTypeError(message)
    return names


def _add_up(add: Callable[..., argparse.ArgumentParser]) -> None:
    up = add("up", help="start the local cloud on a template")
    add_template_words(up, default=TEMPLATE)
    up.add_argument(
        "--regions",
        type=_regions,
        default=(),
        metavar="A,B",
        help="a cloud for each of these Regions, which can fail over",
    )
    up.add_argument("--joins", default="", help=argparse.SUPPRESS)  # said by the host of several Regions
    up.add_argument("--issuer", type=Path, help=argparse.SUPPRESS)  # the same
    up.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"AWS APIs on N, HTTP on N+1, WebSocket on N+2, console on N+3; 0: free ones; default: {DEFAULT_PORT}",
    )
    up.add_argument("--persist", type=Path, metavar="DIR", help="keep tables, queues and buckets in DIR")
    up.add_argument(
        "--model",
        default="scripted",
        metavar="scripted|scripted:FILE|embedded|URL",
        help="who answers Bedrock calls; default: scripted",
    )
    up.add_argument(
        "--no-reload", action="store_false", dest="reloads", help="go on with the code that was there at the start"
    )
    up.add_argument(
        "--debugger",
        type=_debugger,
        default=0,
        metavar="PORT",
        help="let an editor attach to PORT and debug every function; needs debugpy",
    )
    up.add_argument("--open", action="store_true", help="open the console in a browser when it is ready")
    up.add_argument("--detach", action="store_true", help="return when it is ready; stop it with `sluiceway down`")
    up.set_defaults(module="up")


def _add_tail(add: Callable[..., argparse.ArgumentParser]) -> None:
    tail = add("tail", help="what happens, live: requests, messages, invocations, model and AWS calls")
    tail.add_argument("--function", metavar="NAME", help="only this function, and what it calls")
    tail.add_argument("--trace", metavar="ID", help="only this trace")
    tail.add_argument("--errors", action="store_true", help="only what failed")
    tail.add_argument("--json", action="store_true", dest="as_json", help="a JSON object a line")
    tail.set_defaults(module="tail")


def _add_running(add: Callable[..., argparse.ArgumentParser]) -> None:
    down = add("down", help="stop the local cloud")
    add("reset", help="the local cloud as it was right after its start").set_defaults(module="resetting")
    status = add("status", help="what runs, and where")
    status.add_argument(
        "endpoint", nargs="?", help="print only this endpoint or output, for scripts: API=$(... status api)"
    )
    status.add_argument("--json", action="store_true", dest="as_json", help="everything, with the ledger's lines")
    logs = add("logs", help="what functions logged")
    logs.add_argument(
        "function",
        nargs="?",
        help="a function, log group or state machine, by logical id or name; every function where left out",
    )
    logs.add_argument("--follow", "-f", action="store_true", help="go on with what is logged from now on")
    logs.add_argument("--lines", "-n", type=_count, default=200, metavar="N", help="the last N lines; default: 200")
    token = add("token", help="a bearer token of the local issuer")
    token.add_argument("--subject", default="developer", metavar="NAME", help="who calls; default: developer")
    token.add_argument("--minutes", type=int, default=60, metavar="N", help="how long it is good; default: 60")
    token.add_argument(
        "--claim",
        dest="claims",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help='another claim, such as cognito:groups=["admin"]; a value is JSON where it is, else text; more than once',
    )
    for parser in (down, status, logs, token):
        parser.set_defaults(module="running")
    issuer = add("issuer", help="the identity provider: its keys; rotate them, let it be away")
    issuer.add_argument(
        "action",
        nargs="?",
        choices=["show", "rotate", "withdraw", "down", "hang", "up"],
        default="show",
        help="sign with a new key; publish no older one; answer with 503, not at all, as ever; default: show",
    )
    issuer.add_argument("--json", action="store_true", dest="as_json", help="for scripts")
    issuer.set_defaults(module="issuing")


def _add_doubts(add: Callable[..., argparse.ArgumentParser]) -> None:
    doubts = add("doubts", help="keys that another Region may have begun: list them, ask again, settle them")
    doubts.set_defaults(module="doubts", action="list", scan=False)
    _add_doubt_words(doubts, first=True)
    actions = doubts.add_subparsers(metavar="action", help="list where left out")
    for name, said in (
        ("list", "what is in doubt"),
        ("drain", "ask about all of it again; exit code 1 while something is parked"),
        ("settle", "a person's word on one key"),
    ):
        action = actions.add_parser(name, help=said, allow_abbrev=False)
        action.set_defaults(action=name)
        action.add_argument("--state", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        _add_doubt_words(action, first=False)
        if name == "drain":
            action.add_argument("--scan", action="store_true", help="note what was begun and never ended, before")
        elif name == "settle":
            action.add_argument("key", metavar="KEY", help="as it is listed")
            verdict = action.add_mutually_exclusive_group(required=True)
            verdict.add_argument("--not-done", action="store_true", help="the work was not done: it may be begun")
            verdict.add_argument("--open", action="store_true", help="it is in doubt again")


def _add_doubt_words(parser: argparse.ArgumentParser, *, first: bool) -> None:
    """Before or after the action; what is said later counts."""
    named = None if first else argparse.SUPPRESS
    for flag, said in (
        ("--group", "default: REGION_GROUP"),
        ("--table", "the table of doubts; default: REGIONS_TABLE"),
        ("--region", "the Region that noted them; default: AWS_REGION"),
    ):
        parser.add_argument(flag, metavar="NAME", default=named, help=said)
    default = False if first else argparse.SUPPRESS
    parser.add_argument("--local", action="store_true", default=default, help="ask the local cloud, not AWS")
    parser.add_argument("--json", action="store_true", dest="as_json", default=default, help="for scripts")


def _add_others(add: Callable[..., argparse.ArgumentParser]) -> None:
    model = add("model", help="the embedded language model")
    model.add_argument("action", choices=["install", "status"], help="fetch it, or say whether it is there")
    model.set_defaults(module="model")
    ledger = add("ledger", help="what is served, delegated, partial and refused")
    add_template_words(ledger, default=None)
    how = ledger.add_mutually_exclusive_group()
    how.add_argument("--markdown", action="store_true", help="of every type that is served, as docs/ledger.md")
    how.add_argument("--json", action="store_true", dest="as_json", help="every line of the template's, for scripts")
    ledger.set_defaults(module="ledger")
    replay = add("replay", help="send again: recorded events; streams, queues, archives", add_help=False)
    replay.set_defaults(module="replay")


def _parser() -> argparse.ArgumentParser:
    """Words are taken whole: `--det` is not `--detach`, for the detached process is given the same words."""
    parser = argparse.ArgumentParser(
        prog="sluiceway", description="Run a SAM application on this machine.", allow_abbrev=False
    )
    where = "where the running cloud is described, before or after the command; default: .sluiceway"
    parser.add_argument("--state", type=Path, default=STATE_FOLDER, metavar="DIR", help=where)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('sluiceway')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, **settings: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, allow_abbrev=False, **settings)
        command.add_argument("--state", type=Path, default=argparse.SUPPRESS, metavar="DIR", help=argparse.SUPPRESS)
        return command

    _add_up(add)
    _add_running(add)
    _add_tail(add)
    add_invoke(add)
    add_regions(add)
    _add_doubts(add)
    _add_others(add)
    add_product(add)
    add_simulate(add)
    add_chaos(add)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is returned."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.command == "replay":
        options.arguments = rest
    elif rest:
        reason = explain_flag(rest) if options.command == "invoke" else ""
        parser.error(reason or f"unrecognized arguments: {' '.join(rest)}")
    try:
        module = import_module(f"localcloud.cli.{options.module}")
        code = int(module.run(options))
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        sys.stderr.write(f"sluiceway: {error}; the local cloud needs its extra: pip install 'sluiceway[local]'\n")
        return 1
    except NotRunning as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 1
    except BrokenPipeError:  # `sluiceway logs | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Source: docs.python.org/3/library/signal.html
        return 0
    except KeyboardInterrupt:
        return 130
    return code
