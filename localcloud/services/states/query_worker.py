"""The process that evaluates: queries come in on its standard input, values go out on its standard output.

It holds itself to a time and to an amount of memory: an expression that takes either ends the process, which is what
its parent expects. Each message is four bytes of length and JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import sys
from typing import IO, Any, Final

__all__ = ["HEADER", "LIMIT_S", "answer", "main"]

HEADER: Final = struct.Struct(">I")
LIMIT_S: Final = 6  # wall seconds of one query: a second more than the engine gives itself, for what it cannot stop
MAX_MEMORY_BYTES: Final = 1 << 30  # of addresses of the whole process


def main() -> None:
    """Answer queries until nobody asks any more."""
    requests, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer
    with contextlib.suppress(OSError, ValueError):  # not every system has this bound
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent says when it ends
    while (message := _read(requests)) is not None:
        signal.alarm(LIMIT_S)
        made = json.dumps(answer(message), ensure_ascii=False).encode(errors="surrogatepass")
        signal.alarm(0)
        answers.write(HEADER.pack(len(made)) + made)
        answers.flush()


def answer(message: bytes) -> dict[str, Any]:
    """The answer to one query: its values, or which expression failed and why."""
    from localcloud.services.states import jsonata_engine  # noqa: PLC0415 - loads the library with the first query
    from localcloud.services.states.queries import Query, QueryFailed  # noqa: PLC0415 - as above

    asked: dict[str, Any] = json.loads(message)
    try:
        return {"values": jsonata_engine.evaluate_all(Query(**asked))}
    except QueryFailed as error:
        failed = error.failed
        return {
            "number": failed.number,
            "reason": failed.reason,
            "undefined": failed.undefined,
            "unsupported": failed.unsupported,
        }


def _read(requests: IO[bytes]) -> bytes | None:
    header = requests.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    return requests.read(HEADER.unpack(header)[0])


if __name__ == "__main__":
    sys.exit(main())
