"""`sluiceway reset`: the local cloud as it was right after its start, asked of the process that runs it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.caller import Unreachable, fetch
from localcloud.state import read_state

__all__ = ["run"]

_PATH: Final = "/_sluiceway/reset"


def run(options: argparse.Namespace) -> int:
    """0 done; 1 no answer, or the template could not be deployed again; 2 refused. Raises NotRunning."""
    state = read_state(options.state)
    try:
        answer = fetch(state.endpoints["aws"] + _PATH, method="POST", headers={}, body=b"")
        told = cast("Mapping[str, Any]", json.loads(answer.body))
    except (Unreachable, ValueError) as error:
        return _fail(str(error), 1)
    if "error" in told:
        return _fail(str(told["error"]), 1 if answer.status >= 500 else 2)
    sys.stdout.write(f"reset in {told['reset_ms']:.0f} ms\n")
    return 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"sluiceway: {message}\n")
    return code
