"""The local cloud for benchmarks: the command, in a process of its own, on free ports, with a state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
FOREIGN = ("AWS_", "API_", "SOCKET_", "STREAM_", "TOKEN")  # variables that name another stack


class Cloud:
    """`sluiceway up` on `template`; `status` is what it says of itself."""

    def __init__(self, folder: Path, *options: str, template: Path = ROOT / "template.yaml") -> None:
        self._state = folder / "state"
        self.sluiceway("up", "--detach", "--port", "0", "--template", str(template), *options)
        self.status: dict[str, Any] = json.loads((self._state / "state.json").read_text())

    def sluiceway(self, *arguments: str) -> str:
        """What the command says. Raises SystemExit where it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        done = subprocess.run(
            [sys.executable, "-m", "localcloud", "--state", str(self._state), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=kept,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"sluiceway {arguments[0]} failed: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sluiceway("down")
