"""`python -m localcloud` is the `sluiceway` command."""

from __future__ import annotations

import sys

from localcloud.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
