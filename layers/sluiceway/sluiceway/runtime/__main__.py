"""What `bootstrap` runs. Compiled anew with each start, since a script has no .pyc: everything else is imported."""

import sys

here = __file__.rpartition("/sluiceway/runtime/")[0]
sys.path[0] = here  # instead of this folder, whose modules are not top-level ones

from sluiceway.runtime.starting import start  # noqa: E402 - found on the path that was just made

if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
