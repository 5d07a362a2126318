"""What aws-sam-cli brings: `sam`, and the runtime interface emulator that `sam local invoke` runs in a container.

Found in `.venv-sam` (made by `make test`), or where SAM_CLI names it. Where something is missing a test is skipped,
and fails under CI.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, NoReturn

import pytest

from localcloud.compute.interpreters import Interpreter, find_interpreter
from tests.local.conftest import ROOT, clean_environment

ARCHITECTURE = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
BUILD_TIMEOUT_S = 300
START_TIMEOUT_S = 20
INVOKE_TIMEOUT_S = 60


def give_up(reason: str) -> NoReturn:
    """Skip, visibly; under CI fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_sam() -> Path:
    """The `sam` command."""
    path = Path(os.environ.get("SAM_CLI") or ROOT / ".venv-sam" / "bin" / "sam")
    if not path.exists():
        give_up("aws-sam-cli is not here: `make .venv-sam/sam.stamp` installs it, or SAM_CLI names it")
    return path


def find_python313() -> Interpreter:
    """The interpreter of the runtime that the template names."""
    choice = find_interpreter("python3.13", environ=os.environ)
    if choice.difference:
        give_up(choice.difference)
    return choice.interpreter


def find_emulator() -> Path:
    """The runtime interface emulator inside aws-sam-cli's package; it is a Linux program."""
    found = sorted(find_sam().parent.parent.glob(f"lib/python3.*/site-packages/samcli/local/rapid/*-{ARCHITECTURE}"))
    if sys.platform != "linux" or not found:
        give_up("the runtime interface emulator runs on Linux only, from aws-sam-cli's own package")
    return found[0]


def run_sam(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `sam` with the runtime's interpreter first on PATH and nothing of the developer's AWS settings."""
    environment = clean_environment()
    environment.pop("PYTHONPATH")
    folder = find_python313().executable.parent
    return subprocess.run(
        [str(find_sam()), *arguments],
        cwd=cwd,
        env=environment
        | {
            "PATH": f"{folder}{os.pathsep}{environment.get('PATH', '')}",
            "SAM_CLI_TELEMETRY": "0",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_S,
    )


@dataclass(frozen=True)
class EmulatedFunction:
    """A function in the emulator; `invoke` is what `sam local invoke` sends to its container."""

    address: str
    log: Path

    def invoke(self, event: object) -> object:
        """The function's reply, or its error as the runtime client words it (status 200; 502 after a failed init)."""
        return json.loads(self.send(event))

    def send(self, event: object) -> bytes:
        """The reply as it comes: not JSON where the function streams."""
        connection = HTTPConnection(self.address, timeout=INVOKE_TIMEOUT_S)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", body=json.dumps(event))
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def emulate(
    command: list[str], *, task_root: Path, variables: Mapping[str, str], log: Path
) -> Iterator[EmulatedFunction]:
    """Run `command` (the runtime client) under the emulator for the length of the block; nothing is left after it."""
    with log.open("w") as output:
        address, process = _start(command, task_root=task_root, variables=variables, output=output)
        for _ in range(2):  # somebody else may have taken a port that was free
            if process.poll() is not None:
                address, process = _start(command, task_root=task_root, variables=variables, output=output)
        try:
            if process.poll() is not None:
                pytest.fail(f"the emulator does not listen on {address} (exit code {process.poll()})")
            yield EmulatedFunction(address, log)
        finally:
            process.terminate()  # the emulator ends its runtime and itself
            try:
                process.wait(timeout=START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(
    command: list[str], *, task_root: Path, variables: Mapping[str, str], output: IO[str]
) -> tuple[str, subprocess.Popen[bytes]]:
    """The emulator and its address; it has ended where it does not listen."""
    address, runtime_api = _free_addresses()
    emulator = [str(find_emulator()), "--log-level", "error", "--runtime-interface-emulator-address", address]
    process = subprocess.Popen(
        [*emulator, "--runtime-api-address", runtime_api, *command],
        cwd=task_root,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    _await_listener(address, process)
    return address, process


def _free_addresses() -> tuple[str, str]:
    """Two that nobody listens on, and not one twice."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}", f"127.0.0.1:{two.getsockname()[1]}"


def _await_listener(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for it; one that does not listen within its time is ended."""
    host, port = address.split(":")
    ends = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.02)
    process.kill()
    process.wait()
