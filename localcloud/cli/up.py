"""`sluiceway up`: start the local cloud, say where everything is, and stop it cleanly.

Detached, the cloud is a process of its own; this one waits until that says over a pipe that it is ready, or why not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Final

from localcloud.clock import SystemClock
from localcloud.cloud import LedgerRefused, PortTaken, RunningCloud, open_cloud
from localcloud.options import CloudOptions
from localcloud.state import FolderTaken, NotRunning, hold_state, read_state, remove_state, write_state
from localcloud.template.errors import TemplateError
from sluiceway.errors import Misconfigured

__all__ = ["run"]

REFUSED: Final = 3
READY_FD: Final = "SLUICEWAY_READY_FD"
_ANOTHER: Final = "or start another with --port 0 and a --state folder of its own"
MODEL_KEY: Final = "OPENAI_API_KEY"  # the name that OpenAI's own clients read


def run(options: argparse.Namespace) -> int:
    """Start; 0 after a clean stop (detached: when ready), 1 where it could not start, 3 where the ledger refused."""
    environ = dict(os.environ)  # noqa: TID251 - the command's own environment; functions see none of it
    try:
        settings = _settings(options, environ)
    except ValueError as error:
        return _fail(str(error), 2)
    if running := _running(options.state):
        return _fail(
            f"a local cloud runs from here already (process {running}); stop it with `sluiceway down`, {_ANOTHER}", 1
        )
    if options.detach:
        return _detach(options, environ)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    ready = int(environ.get(READY_FD, "-1"))
    try:
        with hold_state(options.state), asyncio.Runner() as runner:
            return runner.run(_serve(settings, ready, opens=options.open))
    except FolderTaken:
        return _fail(f"a local cloud starts from here at this moment; wait until it is ready, {_ANOTHER}", 1)


def _running(state: Path) -> int:
    """The process of a cloud that runs with this state, 0 for none."""
    try:
        return read_state(state).pid
    except NotRunning:
        return 0


def _tell(sentence: str) -> None:
    sys.stderr.write(f"  {sentence}\n")
    sys.stderr.flush()


def _settings(options: argparse.Namespace, environ: dict[str, str]) -> CloudOptions:
    if not options.template.exists():
        message = f"there is no {options.template}; name the template with --template FILE"
        raise ValueError(message)
    if options.config_env and not (options.template.parent / "samconfig.toml").exists():
        message = f"there is no samconfig.toml beside {options.template} that could say what {options.config_env} is"
        raise ValueError(message)
    overrides: dict[str, str] = {}
    for pair in options.parameter_overrides:
        name, equals, value = pair.partition("=")
        if not equals:
            message = f"--parameter-overrides takes KEY=VALUE, not {pair}"
            raise ValueError(message)
        overrides[name] = value
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/tmp") / ".cache") / "sluiceway"  # noqa: S108 - where there is no home
    return CloudOptions(
        template=options.template,
        state=options.state,
        cache=cache,
        environ={name: value for name, value in environ.items() if name != MODEL_KEY},
        progress=_tell,
        config_env=options.config_env,
        overrides=overrides,
        region=options.region,
        port=options.port,
        persist=options.persist,
        allow=tuple(options.allow),
        model=options.model,
        model_key=environ.get(MODEL_KEY, "").strip(),
    )


async def _serve(settings: CloudOptions, ready: int, *, opens: bool) -> int:
    rng = random.Random()  # noqa: S311 - ids and jitter, not secrets; keys come from the secrets module
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    code = 0
    try:
        async with open_cloud(settings, clock=SystemClock(), rng=rng) as cloud:
            write_state(settings.state, cloud.state)
            _say(cloud)
            if ready >= 0:
                os.close(ready)
            if opens:
                await asyncio.to_thread(_open_browser, cloud.state.endpoints["console"])
            await stop.wait()
            sys.stderr.write("stopping\n")
    except* LedgerRefused as group:
        code = _refuse(group)
    except* PortTaken as group:
        code = _fail(f"{_sentence(group)}; choose other ports with --port N, or --port 0 for free ones", 1)
    except* (TemplateError, Misconfigured, ValueError, OSError) as group:
        code = _fail(_sentence(group), 1)
    finally:
        remove_state(settings.state)
    return code


def _sentence(group: BaseExceptionGroup[Exception]) -> str:
    return "; ".join(_said(error) for error in _leaves(group))


def _said(error: BaseException) -> str:
    """The system's own errors without their number: `replies.json: No such file or directory`."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _refuse(group: BaseExceptionGroup[LedgerRefused]) -> int:
    for error in _leaves(group):
        if isinstance(error, LedgerRefused):
            sys.stderr.writelines(f"{line}\n" for line in error.ledger.refused)
    said = "the template asks for what is not served here; start without it by --allow and the name of each line above"
    return _fail(said, REFUSED)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"sluiceway: {message}\n")
    return code


def _say(cloud: RunningCloud) -> None:
    state = cloud.state
    known = state.known
    width = max(map(len, known))
    sys.stdout.write(cloud.ledger.text() + "\n\n")
    sys.stdout.writelines(f"  {name:<{width}}  {value}\n" for name, value in known.items())
    token = "`sluiceway token` gives a bearer token, " if state.audience else ""
    sys.stdout.write(f"\n  Console: {state.endpoints['console']}\n")
    sys.stdout.write(f"\nready; {token}Ctrl-C or `sluiceway down` stops\n")
    sys.stdout.flush()


def _open_browser(address: str) -> None:
    """Open the console where there is a browser with a window; one in the terminal would take this command's."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        browser = None
    if browser is None or type(browser) is webbrowser.GenericBrowser or not browser.open(address):
        sys.stderr.write(f"sluiceway: there is no browser to open here; the console is at {address}\n")


def _detach(options: argparse.Namespace, environ: dict[str, str]) -> int:
    options.state.mkdir(parents=True, exist_ok=True)
    log = options.state / "up.log"
    reader, writer = os.pipe()
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    with log.open("w") as output:
        child = subprocess.Popen(  # noqa: S603 - this very command
            [sys.executable, "-m", "localcloud", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(writer,),
            env=environ | {READY_FD: str(writer)},
        )
    os.close(writer)
    _until_closed(reader)
    if _running(options.state) == child.pid:
        return _report(log, sys.stdout.write, 0)
    return _report(log, sys.stderr.write, child.wait())


def _until_closed(reader: int) -> None:
    """The pipe closes when the cloud is ready, and when its process ends."""
    with os.fdopen(reader) as pipe:
        pipe.read()


def _report(log: Path, write: Callable[[str], object], code: int) -> int:
    write(log.read_text(encoding="utf-8", errors="replace"))
    return code
