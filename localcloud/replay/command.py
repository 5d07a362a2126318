"""The replay command: choose cases and a target, send, compare, say what differs. With `--from` it is `records`'s."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from localcloud.caller import LambdaEndpoint, Unreachable
from localcloud.clock import SystemClock
from localcloud.issuer import LocalIssuer
from localcloud.replay.cases import Case, NotRecorded, differences, load_cases
from localcloud.replay.targets.cases import (
    HttpTarget,
    LambdaTarget,
    SamTarget,
    Target,
    WebSocketTarget,
    logical_id,
)
from localcloud.replay.websocket import WebSocketRefused
from localcloud.state import STATE_FOLDER, NotRunning, RunningState, read_state
from sluiceway.aws.sigv4 import Credentials

__all__ = ["main"]


class _Misused(Exception):
    """The command's words do not fit; exit code 2."""


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Send recorded events and compare the replies.",
        epilog="With --from, records of a stream, a queue or an archive are sent once more: --from x --help.",
        allow_abbrev=False,
    )
    parser.add_argument("--target", required=True, metavar="local|sam|lambda:NAME|URL", help="where to send them")
    parser.add_argument("--case", action="append", default=[], metavar="FUNCTION[/CASE]", help="all where left out")
    parser.add_argument("--events", type=Path, default=Path("events"), metavar="DIR", help="default: events")
    parser.add_argument(
        "--token",
        default=os.environ.get("TOKEN", ""),  # noqa: TID251 - a command line, not a function
        help="bearer token; default: $TOKEN, for local one of the local issuer's",
    )
    region = os.environ.get("AWS_REGION", "us-east-1")  # noqa: TID251 - the same
    parser.add_argument("--region", default=region, help="for lambda:NAME; default: $AWS_REGION")
    parser.add_argument(
        "--template", type=Path, default=Path("template.yaml"), metavar="FILE", help="for sam; default: template.yaml"
    )
    parser.add_argument(
        "--state", type=Path, default=STATE_FOLDER, metavar="DIR", help=f"for local; default: {STATE_FOLDER}"
    )
    parser.add_argument("sam_arguments", nargs="*", help="after --: given to `sam local invoke` unchanged")
    return parser


def _credentials() -> Credentials:
    environ = os.environ  # noqa: TID251 - a command line, not a function
    if not environ.get("AWS_ACCESS_KEY_ID"):
        message = "lambda:NAME needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for a role)"
        raise _Misused(message)
    return Credentials(
        environ["AWS_ACCESS_KEY_ID"], environ.get("AWS_SECRET_ACCESS_KEY", ""), environ.get("AWS_SESSION_TOKEN", "")
    )


def _deployed(options: argparse.Namespace, name: str) -> LambdaTarget:
    folders = sorted(path.name for path in options.events.iterdir() if path.is_dir())
    matching = {folder: name for folder in folders if folder == name or logical_id(folder) in name}
    if not matching:
        chosen = {case.split("/")[0] for case in options.case}
        if len(chosen) != 1:
            message = f"which events are meant for {name}? Name one function's with --case"
            raise _Misused(message)
        matching = {chosen.pop(): name}
    environ = os.environ  # noqa: TID251 - a command line, not a function
    default = f"https://lambda.{options.region}.amazonaws.com"
    endpoint = environ.get("AWS_ENDPOINT_URL_LAMBDA") or environ.get("AWS_ENDPOINT_URL") or default
    return LambdaTarget(LambdaEndpoint(endpoint.rstrip("/"), options.region, _credentials()), matching, options.token)


def _target(options: argparse.Namespace) -> Target:
    if not options.events.is_dir():
        message = f"there is no folder {options.events}; name that of the recorded events with --events"
        raise _Misused(message)
    kind, _, rest = options.target.partition(":")
    if options.target == "local":
        state = read_state(options.state)
        names = {
            folder: state.functions[logical_id(folder)]
            for folder in _folders(options)
            if logical_id(folder) in state.functions
        }
        return LambdaTarget(state.lambda_endpoint(), names, options.token or _own_token(options.state, state))
    if options.target == "sam":
        return SamTarget(options.template, tuple(options.sam_arguments))
    if kind == "lambda" and rest:
        return _deployed(options, rest)
    if kind in {"http", "https"}:
        return HttpTarget(options.target, options.token)
    if kind in {"ws", "wss"}:
        return WebSocketTarget(options.target, options.token)
    message = f"--target is local, sam, lambda:NAME or an http or ws URL, not {options.target or 'nothing'}"
    raise _Misused(message)


def _own_token(folder: Path, state: RunningState) -> str:
    """A token of the issuer that the running cloud trusts; "" where it has none, or where nothing can sign here."""
    if not state.audience or not (folder / "issuer.pem").exists():
        return ""
    try:
        issuer = LocalIssuer.open(folder)
        return issuer.token(subject="developer", audience=state.audience, minutes=5, clock=SystemClock())
    except ImportError:  # a bare checkout: cryptography and PyJWT are not installed
        return ""


def _folders(options: argparse.Namespace) -> list[str]:
    return sorted(path.name for path in options.events.iterdir() if path.is_dir())


def _replay(case: Case, target: Target) -> str:
    """One word (same, differs, sent, skipped) and its lines."""
    if refusal := target.refusal(case):
        return f"skipped  ({refusal})"
    reply, recorded = target.send(case), target.recorded(case)
    if isinstance(recorded, NotRecorded):
        return f"sent     (no reply is recorded) {str(reply)[:200]}"
    found = differences(recorded, reply)
    return "same" if not found else "\n    ".join(["differs", *found])


def _names_a_source(words: Sequence[str]) -> bool:
    """Whether it is records that are meant, not recorded events."""
    before = words[: words.index("--")] if "--" in words else words
    return any(word == "--from" or word.startswith("--from=") for word in before)


def main(arguments: Sequence[str] | None = None, *, program: str = "replay") -> int:
    """Replay; 0 when every reply is as recorded, 1 when one differs or none was sent, 2 when called wrongly."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if _names_a_source(words):
        from localcloud.replay.records import main as replay_records  # noqa: PLC0415 - recorded events need none of it

        return replay_records(words, program=program)
    options = _parser(program).parse_args(words)
    try:
        target = _target(options)
        cases = list(load_cases(options.events, names=options.case))
        results: list[str] = []
        for case in cases:
            result = _replay(case, target)
            results.append(result.split("\n")[0].split()[0])
            sys.stdout.write(f"{case.function}/{case.name}: {result}\n")
    except (_Misused, ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"replay: {error}\n")
        return 2
    except (Unreachable, NotRunning, WebSocketRefused) as error:
        sys.stderr.write(f"replay: {error}\n")
        return 1
    counts = ", ".join(f"{results.count(word)} {word}" for word in ("same", "differs", "sent", "skipped"))
    sys.stdout.write(f"{counts}\n")
    return 0 if "differs" not in results and set(results) - {"skipped"} else 1
