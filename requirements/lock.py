"""Pin every requirement with hashes, in files that name no index and no link."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
UV: Final = (
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
    "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--upgrade",
)  # fmt: skip
# botocore and what only it needs are the Lambda runtime's own
RUNTIME_OWNS: Final = ("botocore", "urllib3", "python-dateutil", "six")


def lock(name: str, *options: str) -> None:
    """Compile `<name>.in` to `<name>.txt`."""
    source = ROOT / f"{name}.in"
    sys.stdout.write(f"{name}.txt\n")
    subprocess.run([*UV, *options, str(source), "-o", str(source.with_suffix(".txt"))], cwd=ROOT, check=True)


if __name__ == "__main__":
    lock("requirements/test")
    lock("requirements/run", "-c", "requirements/test.txt")  # the two share one environment
    lock("requirements/sam")
    lock("layers/sluiceway/requirements", *(f"--no-emit-package={name}" for name in RUNTIME_OWNS))
    lock("layers/aws_sdk/requirements")
    lock("functions/authorize_request/requirements")
    lock("functions/stream_http/requirements")
    lock("localcloud/compute/requirements")
