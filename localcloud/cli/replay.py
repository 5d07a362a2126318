"""`sluiceway replay`: the same code as `events/replay.py`."""

from __future__ import annotations

import argparse

from localcloud.replay.command import main

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Everything after `replay` is the replay tool's own."""
    return main(["--state", str(options.state), *options.arguments], program="sluiceway replay")
