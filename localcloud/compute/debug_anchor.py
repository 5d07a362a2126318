"""The process to which an editor attaches first, and which stands for all functions in its list of processes.

It runs on the developer's interpreter, for there debugpy is, and sees nothing of this package. It starts debugpy's
adapter on the port that the editor knows, is itself the first that the adapter debugs, and does nothing: so it never
ends while functions come and go. Argument 1: the port. On standard output, one JSON object a line: first where
functions connect to, or why it failed; then whether an editor is attached, each time that this changes. It ends with
its standard input; the adapter is ended by whoever started this.
"""

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any

START_TIMEOUT_S = 20
LOOK_S = 0.1  # debugpy tells nobody when an editor comes or goes


def main() -> None:
    """Serve until standard input ends."""
    try:
        debugpy: Any = importlib.import_module("debugpy")
        where, group = start_adapter(debugpy, int(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - the edge of a process
        tell({"error": f"{type(error).__name__}: {error}"})
        return
    tell({**where, "pid": os.getpid(), "adapter": group})
    attached = False
    while not select.select([sys.stdin], [], [], LOOK_S)[0]:
        if debugpy.is_client_connected() != attached:
            attached = not attached
            tell({"attached": attached})


def start_adapter(debugpy: Any, port: int) -> tuple[dict[str, Any], int]:
    """Start it and connect to it. Gives where others connect to, and its process group. Raises whatever went wrong.

    It leaves the group of whoever starts it, unless it leads one: then it stays in that.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(START_TIMEOUT_S)
        adapter = os.path.join(os.path.dirname(debugpy.__file__), "adapter")  # noqa: PTH118, PTH120 - it costs nothing
        command = [sys.executable, adapter, "--for-server", str(listener.getsockname()[1])]
        started = subprocess.Popen(  # noqa: S603 - debugpy's own
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if started.wait():
            raise OSError("debugpy's adapter did not start")
        connection, _ = listener.accept()
    try:
        with connection, connection.makefile("rb") as file:
            told = json.load(file)
        if "error" in told:
            raise OSError(told["error"])  # noqa: TRY301 - the same end as any other failure's
        connect(told["server"])
    except Exception:
        os.killpg(started.pid, signal.SIGKILL)
        raise
    return told["server"], started.pid


def connect(where: dict[str, Any]) -> None:
    """Be debugged, without waiting for an editor as `debugpy.connect` does."""
    importlib.import_module("debugpy.server")  # puts pydevd on the import path
    pydevd: Any = importlib.import_module("pydevd")
    pydevd.settrace(
        host=where["host"],
        port=where["port"],
        suspend=False,
        patch_multiprocessing=False,
        wait_for_ready_to_run=False,
        block_until_connected=True,
        notify_stdin=False,
    )


def tell(fact: dict[str, object]) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
