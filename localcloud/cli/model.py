"""`sluiceway model`: fetch the embedded model, and say whether it is there."""

from __future__ import annotations

import argparse
import sys

from localcloud.models import install

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """`install` fetches what is missing; `status` tells and exits with 1 where something is missing."""
    if options.action == "install":
        return install.install(sys.stdout.write)
    missing = install.missing()
    sys.stdout.write(f"missing: {', '.join(missing)}\n" if missing else "installed\n")
    return 1 if missing else 0
