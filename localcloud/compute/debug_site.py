"""What a function's interpreter does before all else where functions are debugged: connect to the debugger, and wait.

It is put on the import path as `sitecustomize`, beside debugpy and nothing else of the developer's. The variable is
taken away again: the function does not see it, and neither do processes that it starts (debugpy follows those).
"""

import importlib
import os
from typing import Any

_VARIABLE = "_SLUICEWAY_DEBUGGER"  # host, port, process id of what the editor is attached to


def _connect(told: str) -> None:
    debugpy: Any = importlib.import_module("debugpy")
    host, port, anchor = told.split(" ")
    debugpy.connect((host, int(port)), parent_session_pid=int(anchor))
    debugpy.wait_for_client()  # returns at once where no editor is attached


if _VARIABLE in os.environ:  # noqa: TID251 - this is the runtime, not the framework
    _connect(os.environ.pop(_VARIABLE))  # noqa: TID251 - the same
