#!/usr/bin/env python3
"""Send recorded events: `events/replay.py --target local|sam|lambda:NAME|URL`. Needs nothing but this checkout."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "sluiceway")]

from localcloud.replay.command import main  # noqa: E402 - found through the line above

if __name__ == "__main__":
    sys.exit(main())
