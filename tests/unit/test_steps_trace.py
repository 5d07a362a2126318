"""steps.trace: the X-Ray SDK where an invocation is sampled and the SDK is there, nothing elsewhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sluiceway.events.invocation import Invocation
from sluiceway.steps.trace import is_sampled, trace

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
SAMPLED = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"

SCRIPT = """
import asyncio, json, os, sys
from sluiceway.events.invocation import Invocation
from sluiceway.steps.trace import trace

async def flow(event, call):
    if event == "fail":
        raise ValueError("the prompt")
    return event

async def main():
    run = trace(flow)
    imported = ["aws_xray_sdk" in sys.modules]
    for header in sys.argv[2:]:
        os.environ["_X_AMZN_TRACE_ID"] = header
        call = Invocation("r", "read_job", "arn", 0, trace_id=header)
        try:
            await run(sys.argv[1], call)
        except ValueError:
            pass
        imported.append("aws_xray_sdk" in sys.modules)
    print(json.dumps(imported))

asyncio.run(main())
"""


def run_script(*arguments: str, daemon: str = "", task_root: Path) -> list[bool]:
    """Whether the SDK was imported at the start and after each invocation, in a process of its own."""
    env = {"PYTHONPATH": "layers/sluiceway", "LAMBDA_TASK_ROOT": str(task_root), "AWS_DEFAULT_REGION": "eu-west-1"}
    if daemon:
        env["AWS_XRAY_DAEMON_ADDRESS"] = daemon
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def daemon() -> socket.socket:
    """A socket in the X-Ray daemon's place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        yield listener


def address(listener: socket.socket) -> str:
    """As Lambda gives it."""
    host, port = listener.getsockname()
    return f"{host}:{port}"


def segments(listener: socket.socket, count: int) -> list[dict[str, object]]:
    """The next `count` documents that reach the daemon."""
    return [json.loads(listener.recv(65536).split(b"\n", 1)[1]) for _ in range(count)]


def test_a_sampled_invocation_is_a_subsegment(daemon: socket.socket, tmp_path: Path):
    """Under Lambda's own segment, named after the function; an unsampled one before it imports nothing."""
    unsampled = SAMPLED.replace("Sampled=1", "Sampled=0")
    assert run_script("x", unsampled, SAMPLED, daemon=address(daemon), task_root=tmp_path) == [False, False, True]
    (segment,) = segments(daemon, 1)
    assert (segment["name"], segment["trace_id"], segment["parent_id"], segment["type"]) == (
        "## read_job",
        ROOT,
        "53995c3f42cd8ad8",
        "subsegment",
    )


def test_a_failure_is_marked_by_type_only(daemon: socket.socket, tmp_path: Path):
    """The SDK would send an error's text, which may quote a prompt."""
    run_script("fail", SAMPLED, daemon=address(daemon), task_root=tmp_path)
    (segment,) = segments(daemon, 1)
    assert (segment["fault"], segment["annotations"]) == (True, {"error_type": "ValueError"})
    assert "the prompt" not in json.dumps(segment)


def test_without_a_daemon_nothing_is_imported(tmp_path: Path):
    """Where the function's tracing is off Lambda names no daemon."""
    assert run_script("x", SAMPLED, task_root=tmp_path) == [False, False]


async def test_without_the_sdk_the_flow_runs_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The SDK is optional; its absence is no error, and no secret."""
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "aws_xray_sdk", None)

    async def flow(event: object, _call: Invocation) -> object:
        return event

    run = trace(flow)
    call = Invocation("r", "f", "arn", 0, trace_id=SAMPLED)
    assert [await run(number, call) for number in range(3)] == [0, 1, 2]
    assert [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()] == ["trace.sdk_missing"]


@pytest.mark.parametrize(
    ("header", "sampled"),
    [(SAMPLED, True), ("Sampled=1", True), ("Root=1-a-b; Sampled=1", True), ("Sampled=0", False), ("", False)],
)
def test_sampling_is_what_the_header_says(header: str, sampled: object):
    """Only `Sampled=1` is sampled; `?` and absence are not."""
    assert is_sampled(header) is sampled
