"""Runtime clients as processes on a fake Runtime API: ours through its wrapper, and the official one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.fake_runtime_api import FakeApi, fake_api

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "layers" / "sluiceway"
OURS, OFFICIAL = "ours", "official"


def make_layer(folder: Path) -> Path:
    """The layer as Lambda unpacks it to /opt, without the build: nothing is compiled, no package is beside it."""
    layer = folder / "layer"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "sluiceway").symlink_to(LAYER / "sluiceway")
    (layer / "bootstrap").symlink_to(LAYER / "bootstrap")
    return layer


@dataclass
class Client:
    """One runtime process; `frames` is what came over its telemetry descriptor, whole once the block has ended."""

    api: FakeApi
    process: subprocess.Popen[bytes]
    output: Path
    frames: bytearray

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(20)

    def said(self) -> str:
        """What it wrote to standard output and standard error."""
        return self.output.read_text(encoding="utf-8", errors="replace")


@contextmanager
def client(kind: str, code: Path, *events: bytes, handler: str = "app.handler", **variables: str) -> Iterator[Client]:
    """Run a client of `kind` on the handler in the folder `code`, until the block ends."""
    read, write = os.pipe()
    output = code.parent / f"{kind}-{code.name}.log"
    with fake_api(*events) as api, output.open("wb") as said:
        command = [sys.executable, "-B", "-m", "awslambdaric", handler]
        if kind == OURS:
            layer = code.parent / "layer"
            wrapper = str((layer if layer.exists() else make_layer(code.parent)) / "bootstrap")
            command = [wrapper, sys.executable, "-B", "/var/runtime/bootstrap.py"]
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "LAMBDA_TASK_ROOT": str(code),
            "PYTHONPATH": str(code),
            "_HANDLER": handler,
            **variables,
        }
        if environ.pop("FRAMED", ""):
            environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(write)
        process = subprocess.Popen(
            command, cwd=code, env=environ, stdout=said, stderr=said, stdin=subprocess.DEVNULL, pass_fds=(write,)
        )
        os.close(write)
        frames = bytearray()
        reading = threading.Thread(target=_read, args=(read, frames))
        reading.start()
        try:
            yield Client(api, process, output, frames)
        finally:
            process.kill()
            process.wait()
            reading.join()
            os.close(read)


def _read(descriptor: int, into: bytearray) -> None:
    while part := os.read(descriptor, 65536):
        into += part
