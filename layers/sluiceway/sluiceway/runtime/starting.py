"""The start of a runtime process: import path, log, handler, snapshot, and then the loop that fits.

As an exec wrapper the arguments are the managed runtime's own start-up: its script, and what that was given. As a
custom runtime there are none. Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from sluiceway import settings
from sluiceway.runtime.blocking import BlockingApi
from sluiceway.runtime.context import CURRENT
from sluiceway.runtime.desk import Desk
from sluiceway.runtime.faults import describe_failure
from sluiceway.runtime.garbage import take_up
from sluiceway.runtime.handler import Driven, Handler, load_handler
from sluiceway.runtime.logs import UNHANDLED, is_json, log_failure, open_sink, set_up_logging, write_through
from sluiceway.runtime.outcome import RuntimeApiError
from sluiceway.runtime.requests import Requests
from sluiceway.runtime.serving import SerialServing

__all__ = ["find_import_path", "start"]

MAX_CONCURRENCY: Final = 1600  # PerExecutionEnvironmentMaxConcurrency in the service's model


def find_import_path(arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """What stands before the standard library: the task root, the layers, then the runtime's folder.

    The second of `arguments` (after the runtime's own script), where there is one, is the list of folders that the
    script would put there itself: the local cloud's layers are not in /opt.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html (search path), python-layers.html
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    layers = [f"/opt/python/lib/{version}/site-packages", "/opt/python"]
    own = [environ.get("LAMBDA_TASK_ROOT", ""), *layers]
    first = arguments[1].split(os.pathsep) if len(arguments) > 1 else own
    return [folder for folder in (*first, environ.get("LAMBDA_RUNTIME_DIR", "")) if folder]


def start(arguments: Sequence[str]) -> int:
    """Serve until the process is ended; the code to exit with where it cannot go on."""
    environ = settings.environ()
    path = find_import_path(arguments, environ)
    sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
    write_through()
    address = settings.text("AWS_LAMBDA_RUNTIME_API")
    requests = Requests(address)
    api = BlockingApi(address, requests)
    sink = open_sink(os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", ""))  # noqa: TID251 - children must not inherit its name
    serial: list[SerialServing] = []
    set_up_logging(sink, environ, current=lambda: serial[0].context if serial else CURRENT.get())
    try:
        handler = load_handler(settings.text("_HANDLER"))
        workers = settings.integer("AWS_LAMBDA_MAX_CONCURRENCY", minimum=0, maximum=MAX_CONCURRENCY, default=0)
    except Exception as error:  # noqa: BLE001 - the outermost edge of init
        logging.getLogger().warning(UNHANDLED)
        failure = describe_failure(error)
        log_failure(failure, sink, as_json=is_json(environ))
        return _finish(lambda: api.post(requests.init_error(failure)) or 1)
    take_up()
    app = handler if isinstance(handler, Driven) else None
    desk = Desk(environ, cast("Handler", handler), app, address, requests, sink)
    return _finish(lambda: _serve(desk, api, workers=workers, serial=serial))


def _finish(work: Callable[[], int]) -> int:
    """The exit code of `work`; 1, and a line in the log, where the Runtime API is lost."""
    try:
        return work()
    except* RuntimeApiError as lost:
        logging.getLogger().error("LAMBDA_RUNTIME %s", lost.exceptions[0])  # noqa: TRY400 - its place says nothing
    return 1


def _serve(desk: Desk, api: BlockingApi, *, workers: int, serial: list[SerialServing]) -> int:
    if settings.initialization_type() == "snap-start":
        from sluiceway.runtime.snapshot import pass_snapshot  # noqa: PLC0415 - SnapStart alone needs it

        code = pass_snapshot(desk, api)
        if code:
            return code
    if workers:
        api.close()
        from sluiceway.runtime.concurrency import run_concurrently  # noqa: PLC0415 - asyncio and threads

        run_concurrently(desk, workers=workers)
    serving = SerialServing(desk, api)
    serial.append(serving)
    serving.run()
    return 0
