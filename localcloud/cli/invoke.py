"""`sluiceway invoke`: one invocation in the local cloud that runs, with the flags of `sam local invoke`.

Owns which of that command's flags mean something here, and what to do instead of the others.
Source: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-cli-command-reference-sam-local-invoke.html
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from localcloud.caller import Unreachable
from localcloud.state import RunningState

__all__ = ["add_invoke", "explain_flag", "invoke"]

_VARIABLES: Final = "write the variables into the template, or give parameters to `sluiceway up --parameter-overrides`"
_PARAMETERS: Final = "parameters are settled when the cloud starts: `sluiceway up` takes this flag"
_NO_CONTAINER: Final = "functions are processes of this machine, not containers: leave it out"
_DEBUGGER: Final = (
    "no debugger is attached to a function's process; call its handler from a test, where a debugger reaches it"
)
_INSTEAD: Final[dict[str, str]] = {
    **dict.fromkeys(("--env-vars", "-n", "--container-env-vars"), _VARIABLES),
    **dict.fromkeys(("--parameter-overrides", "--config-env"), _PARAMETERS),
    "--config-file": "samconfig.toml beside the template is read by `sluiceway up --config-env ENV`",
    **dict.fromkeys(("--debug-port", "-d", "--debugger-path", "--debug-args"), _DEBUGGER),
    **dict.fromkeys(
        (
            "--docker-network", "--docker-volume-basedir", "-v", "--container-host", "--container-host-interface",
            "--container-dns", "--add-host", "--invoke-image", "-ii", "--skip-pull-image", "--force-image-build",
            "--mount-symlinks", "--no-mount-symlinks", "--filesystem", "--shutdown", "--warm-containers",
        ),
        _NO_CONTAINER,
    ),
    "--layer-cache-basedir": "layers are built from the template's folder into the local cloud's cache: leave it out",
    "--no-memory-limit": "memory is never limited here: leave it out",
    "--runtime": "a function runs on the Runtime that the template names",
    **dict.fromkeys(("--hook-name", "--skip-prepare-infra", "--terraform-plan-file"), "only templates of SAM run here"),
    "--profile": "no account is asked; a function has keys of its own role: leave it out",
    "--save-params": "nothing is written into samconfig.toml here",
    "--debug": "a function's whole log is shown anyway: leave it out",
    "--tenant-id": "tenant isolation is not served here",
    "--durable-execution-name": "durable functions are not served here",
}  # fmt: skip


def add_invoke(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the subcommand's arguments."""
    parser = add("invoke", help="invoke a function as `sam local invoke` does")
    parser.add_argument("name", metavar="function", help="logical id or name")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--event", "-e", metavar="FILE", help="the event's JSON; `-` reads standard input")
    source.add_argument("--no-event", action="store_true", help="an empty event, the default")
    parser.add_argument("--log-file", "-l", type=Path, metavar="FILE", help="append the log to FILE, not to stderr")
    parser.add_argument("--region", help="refused unless it is the Region of the cloud that runs")
    parser.add_argument(
        "--template", "--template-file", "-t", type=Path, metavar="FILE", help="refused unless it is what runs"
    )
    parser.set_defaults(module="running")


def explain_flag(rest: Sequence[str]) -> str:
    """What to do instead of the first flag of `sam local invoke` among arguments that are not ours, "" for none."""
    for argument in rest:
        flag = argument.partition("=")[0]
        if flag in _INSTEAD:
            return f"{flag} does not apply to a cloud that runs: {_INSTEAD[flag]}"
    return ""


def invoke(options: argparse.Namespace, state: RunningState) -> int:
    """Payload to stdout, log to stderr or the file; 0, 1 after a function error, 2 where nothing could be invoked."""
    try:
        _hold_against(options, state)
        payload = _event(options)
        invoked = state.lambda_endpoint().invoke(state.find_function(options.name), payload, log_tail=True)
        _tell_log(invoked.log, options.log_file)
    except (Unreachable, ValueError, OSError) as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2
    sys.stdout.write(invoked.payload.decode() + "\n")
    return 1 if invoked.function_error else 0


def _hold_against(options: argparse.Namespace, state: RunningState) -> None:
    """Raises ValueError where the flags name another Region or template than what runs."""
    if options.region not in {None, state.region}:
        message = (
            f"the local cloud runs in {state.region}; for {options.region}: `sluiceway up --region {options.region}`"
        )
        raise ValueError(message)
    if options.template and options.template.resolve() != Path(state.template).resolve():
        message = (
            f"the local cloud runs {state.template}; for {options.template}: "
            f"`sluiceway down`, then `sluiceway up --template {options.template}`"
        )
        raise ValueError(message)


def _event(options: argparse.Namespace) -> bytes:
    if not options.event:
        return b"{}"
    name = "the event on standard input" if options.event == "-" else options.event
    try:
        raw = sys.stdin.buffer.read() if options.event == "-" else Path(options.event).read_bytes()
        json.loads(raw)
    except OSError as error:
        message = f"{name}: {error.strerror}"
        raise ValueError(message) from error
    except ValueError as error:
        message = f"{name} is not JSON: {error}"
        raise ValueError(message) from error
    return raw


def _tell_log(text: str, file: Path | None) -> None:
    if file is None:
        sys.stderr.write(text)
        return
    with file.open("a", encoding="utf-8") as log:
        log.write(text)
