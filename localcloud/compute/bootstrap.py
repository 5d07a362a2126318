"""What a function's process runs first, in the runtime folder: the import path of Lambda, then the runtime client.

It is copied there and runs on the function's interpreter, which sees nothing of this package.
Argument 1: the folders that come first on the import path (task root, layers), joined like PATH.
Source: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html (the search path of the Python runtime)
"""

import importlib
import os
import sys


def main() -> None:
    """Serve invocations until the process is killed."""
    runtime_dir = sys.path[0]
    sys.path[:1] = sys.argv[1].split(os.pathsep)
    if runtime_dir not in sys.path:  # the function's own PYTHONPATH replaces Lambda's
        sys.path.append(runtime_dir)
    del sys.argv[1:]
    client = importlib.import_module("awslambdaric.__main__")  # found on the path that was just made

    client.main([sys.argv[0], os.environ["_HANDLER"]])  # noqa: TID251 - this is the runtime, not the framework


if __name__ == "__main__":
    main()
