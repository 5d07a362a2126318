"""`sluiceway up`: its settings, and who serves: this process, or one of its own where it is detached.

Detached, this process waits until that one says over a pipe that it is ready, or why not; so nothing is imported here
that only the local cloud needs (see `serving`).
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from localcloud.cli.given import read_given
from localcloud.log_lines import FieldsFormatter
from localcloud.options import CloudOptions
from localcloud.state import READY_FD, FolderTaken, NotRunning, hold_state, read_state

if TYPE_CHECKING:
    from localcloud.regions.host import HostOptions

__all__ = ["run"]

_ANOTHER: Final = "or start another with --port 0 and a --state folder of its own"
STARTING_OBJECTS: Final = 50_000  # new ones before each collection while modules are imported, which all stay
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
    _write_log()
    gc.set_threshold(STARTING_OBJECTS)
    from localcloud.cli.serving import serve  # noqa: PLC0415 - the whole local cloud, which --detach leaves to its child

    try:
        with hold_state(options.state):
            ready = int(environ.pop(READY_FD, "-1"))
            started = _host_options(options, settings, environ) if options.regions else settings
            ended = serve(started, ready, opens=options.open)
    except FolderTaken:
        return _fail(f"a local cloud starts from here at this moment; wait until it is ready, {_ANOTHER}", 1)
    return _fail(ended.message, ended.code) if ended.message else ended.code


def _write_log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


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
    given = read_given(options)
    if given.told() and not options.detach:  # else the process says so that serves
        _tell(given.told())
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/tmp") / ".cache") / "sluiceway"  # noqa: S108 - where there is no home
    if options.regions and options.region:
        message = "--region names the Region of one cloud; with --regions there are several"
        raise ValueError(message)
    if options.regions and options.debugger:
        message = "--debugger serves the functions of one Region; leave --regions out"
        raise ValueError(message)
    return CloudOptions(
        template=given.template,
        state=options.state,
        cache=cache,
        environ={name: value for name, value in environ.items() if name != MODEL_KEY},
        progress=_tell,
        config_env=options.config_env,
        overrides=given.overrides,
        region=given.region,
        stack_name=given.stack_name,
        settings=given.settings,
        port=options.port,
        persist=options.persist,
        allow=tuple(options.allow),
        model=options.model,
        model_key=environ.get(MODEL_KEY, "").strip(),
        joins=options.joins,
        issuer=options.issuer,
        reloads=options.reloads,
        debugger=options.debugger,
    )


def _host_options(options: argparse.Namespace, cloud: CloudOptions, environ: dict[str, str]) -> HostOptions:
    """Several Regions: samconfig.toml's `primary` for the first and `secondary` for the others, where it has them."""
    from localcloud.regions.host import HostOptions  # noqa: PLC0415 - the whole local cloud, as above
    from localcloud.template.source import environment_names  # noqa: PLC0415 - the same

    names = environment_names(cloud.settings or cloud.template.parent / "samconfig.toml")
    roles = {region: "primary" if number == 0 else "secondary" for number, region in enumerate(options.regions)}
    chosen = {region: cloud.config_env or (role if role in names else "") for region, role in roles.items()}
    return HostOptions(cloud=cloud, environments=chosen, environ=environ)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"sluiceway: {message}\n")
    return code


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
