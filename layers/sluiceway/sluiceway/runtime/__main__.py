"""What `bootstrap` runs. Compiled anew with each start, since a script has no .pyc: everything else is imported."""

import sys

folder = __file__.rpartition("/")[0]  # its modules are not top-level ones; Python puts it there, unless told not to
sys.path[:] = [folder.removesuffix("/sluiceway/runtime"), *(place for place in sys.path if place != folder)]

from sluiceway.runtime.garbage import put_off  # noqa: E402 - found on the path that was just made

put_off()

from sluiceway.runtime.starting import start  # noqa: E402 - many modules, as the handler's will be

if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
