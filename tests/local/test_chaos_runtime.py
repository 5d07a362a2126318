"""Faults as a client of Lambda sees them, with real processes: our runtime client and the official one."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.chaos.engine import Chaos
from localcloud.chaos.plan import read_plan
from localcloud.chaos.skew import ShiftedClock
from localcloud.clock import SystemClock
from localcloud.compute.cloud import ComputeSettings, open_compute
from localcloud.front import Front
from localcloud.services.iam.model import Iam
from localcloud.services.logs.model import Logs
from tests.local.compute_world import CACHE, ROOT, World, issue_keys
from tests.local.runtime_clients import OFFICIAL, OURS, make_layer
from tests.local.sam_tools import emulate
from tests.unit.fake_runtime_api import FakeApi, event, fake_api

pytestmark = pytest.mark.local

WORK = """
import json, os, pathlib, time
def handler(event, context):
    with pathlib.Path(event["log"]).open("a") as log:
        log.write(f"begin {context.aws_request_id}\\n")
    time.sleep(event.get("sleep_s", 0))
    with pathlib.Path(event["log"]).open("a") as log:
        log.write(f"end {context.aws_request_id}\\n")
    return {"statusCode": 200, "body": str(os.getpid())}
"""
STREAM = """
async def handler(event, context):
    for word in ("one", "two", "three"):
        yield word
"""


@dataclass(frozen=True)
class Stage:
    """A function of its own behind the proxy of a plan."""

    world: World
    chaos: Chaos
    log: Path

    async def invoke(self, **event: Any) -> tuple[str, Any]:
        """The error's type, "" for none, and what came back."""
        result = await self.world.invoke({"log": str(self.log), **event})
        return result.error_type, json.loads(result.payload)

    def did(self) -> list[str]:
        """What the handler noted, without request ids."""
        return [line.split(" ")[0] for line in self.log.read_text().splitlines()] if self.log.exists() else []


@asynccontextmanager
async def on_stage(
    tmp_path: Path, *steps: dict[str, Any], kind: str = OFFICIAL, source: str = WORK, timeout_s: int = 20
) -> AsyncGenerator[Stage]:
    """A cloud's Lambda with `steps` on for the length of the block."""
    clock = SystemClock()
    logs = Logs(clock=clock)
    front = Front([], authorise=lambda _key, _needs: None, rng=random.Random(1))
    chaos = Chaos(front, Iam(random.Random(1)), region="us-east-1", clock=ShiftedClock(clock))
    settings = ComputeSettings(
        cache_dir=CACHE,
        environ=dict(os.environ),
        endpoint_url=lambda: "http://127.0.0.1:9",
        interpose=chaos.interpose,
    )
    async with open_compute(settings, clock=clock, logs=logs, credentials=issue_keys, rng=random.Random(1)) as compute:
        world = World(compute, logs, tmp_path)
        changes: dict[str, Any] = {"timeout_s": timeout_s}
        if kind == OURS:
            changes |= {
                "layer_dirs": (make_layer(tmp_path),),
                "environment": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"},
            }
        world.add(source, **changes)
        chaos.join(compute)
        begun = asyncio.Event()

        async def tell(_event: Any) -> None:
            begun.set()

        plan = read_plan({"steps": [{"for_s": 600, **step} for step in steps]})
        run = compute.group.create_task(chaos.run(plan, tell))
        await begun.wait()
        yield Stage(world, chaos, tmp_path / "log")
        await chaos.stop()
        await run


BOTH = pytest.mark.parametrize("kind", [OFFICIAL, OURS])


@BOTH
async def test_a_delay_is_part_of_the_invocations_time(tmp_path: Path, kind: str) -> None:
    """The caller waits for it, and the handler's clock begins after it."""
    step = {"fault": "function.latency", "delay": {"fixed_s": 0.7}}
    async with on_stage(tmp_path, step, kind=kind) as stage:
        await stage.invoke()
        began = asyncio.get_running_loop().time()
        assert (await stage.invoke())[0] == ""
        assert asyncio.get_running_loop().time() - began >= 0.7
        assert stage.did() == ["begin", "end", "begin", "end"]


@BOTH
async def test_an_error_comes_in_place_of_the_handlers_answer(tmp_path: Path, kind: str) -> None:
    """The process lives on and serves the next."""
    step = {"fault": "function.error", "error_type": "Storm", "message": "asked for", "count": 1}
    async with on_stage(tmp_path, step, kind=kind) as stage:
        error_type, told = await stage.invoke()
        assert (error_type, told["errorType"], told["errorMessage"]) == ("Storm", "Storm", "asked for")
        assert stage.did() == []
        assert (await stage.invoke())[0] == ""
        assert stage.world.functions.environments("f") == 1


@BOTH
@pytest.mark.parametrize("fault", ["function.drop-response", "function.late-response"])
async def test_an_answer_that_does_not_come_in_time_is_a_timeout(tmp_path: Path, kind: str, fault: str) -> None:
    """The work was done; Lambda says that it timed out, and takes another environment."""
    async with on_stage(tmp_path, {"fault": fault, "count": 1}, kind=kind, timeout_s=3) as stage:
        error_type, told = await stage.invoke()
        assert error_type == "Sandbox.Timedout"
        assert told["errorMessage"].endswith("Task timed out after 3.00 seconds")
        assert stage.did() == ["begin", "end"]
        assert (await stage.invoke())[0] == ""


@BOTH
async def test_a_duplicate_is_worked_on_twice_under_one_request_id(tmp_path: Path, kind: str) -> None:
    """The caller gets one answer."""
    async with on_stage(tmp_path, {"fault": "function.duplicate", "count": 1}, kind=kind) as stage:
        assert (await stage.invoke())[0] == ""
        assert stage.did() == ["begin", "end", "begin", "end"]
        assert len({line.split(" ")[1] for line in stage.log.read_text().splitlines()}) == 1


@BOTH
async def test_an_http_answer_has_the_plans_status(tmp_path: Path, kind: str) -> None:
    """The handler's body stays."""
    step = {"fault": "function.change-response", "status": 503, "count": 1}
    async with on_stage(tmp_path, step, kind=kind) as stage:
        _, told = await stage.invoke()
        assert (told["statusCode"], told["body"].isdecimal()) == (503, True)
        assert (await stage.invoke())[1]["statusCode"] == 200


@BOTH
@pytest.mark.parametrize(
    ("kill", "did"),
    [
        ({"when": "before"}, []),
        ({"when": "during", "after_s": 0.3}, ["begin"]),
        ({"when": "after"}, ["begin", "end"]),
    ],
)
async def test_a_killed_process_is_an_exit_error(
    tmp_path: Path, kind: str, kill: dict[str, Any], did: list[str]
) -> None:
    """In Lambda's words, at once; how much was done depends on when. The next invocation has another process."""
    async with on_stage(tmp_path, {"fault": "function.kill", "count": 1, **kill}, kind=kind) as stage:
        error_type, told = await stage.invoke(sleep_s=20 if kill["when"] == "during" else 0)
        assert error_type == "Runtime.ExitError"
        assert told["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
        assert stage.did() == did
        assert (await stage.invoke())[0] == ""


async def test_a_stream_passes_the_proxy_as_it_comes(tmp_path: Path) -> None:
    """Our client streams through it; that a plan is on does not gather the answer."""
    step = {"fault": "function.latency", "delay": {"fixed_s": 0.01}}
    async with on_stage(tmp_path, step, kind=OURS, source=STREAM) as stage:
        streamed = await stage.world.functions.invoke_stream("f", b"{}")
        parts = [part async for part in streamed.chunks()]
        assert b"".join(parts) == b"onetwothree"
        report = stage.chaos.tell()["parts"][0]["steps"][0]
        assert report["targets"] == {"f": 1}


async def test_environments_have_no_proxy_after_the_plan(tmp_path: Path) -> None:
    """The process that is started then is led to the Runtime API itself."""
    source = "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']"
    async with on_stage(tmp_path, {"fault": "function.error", "rate": 0}, source=source) as stage:
        behind = await stage.world.answer()
        await stage.chaos.stop()
        alone = await stage.world.answer()
        assert behind != alone
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection(*behind.split(":"))


# ---------------------------------------------------------------------- the command of its own


def _proxied(api: FakeApi, plan: Path, *program: str, code: Path, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "localcloud", "chaos", "proxy", "--upstream", api.address, "--plan", str(plan)]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "sluiceway", code)))
    environ = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "LAMBDA_TASK_ROOT": str(code),
        "PYTHONPATH": path,
        "_HANDLER": "app.handler",
        **variables,
    }
    return subprocess.Popen(
        [*command, "--", *program], cwd=code, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def _client(kind: str, code: Path) -> list[str]:
    if kind == OFFICIAL:
        return [sys.executable, "-B", "-m", "awslambdaric", "app.handler"]
    return [str(make_layer(code.parent) / "bootstrap"), sys.executable, "-B", "/var/runtime/bootstrap.py"]


def _stand_alone(
    tmp_path: Path, kind: str, step: dict[str, Any], *events: bytes, check: Callable[[FakeApi], None], source: str
) -> tuple[int, str]:
    """A client that the proxy runs before another Runtime API; the exit code, and what the proxy said."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text(source)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"steps": [{"for_s": 600, **step}]}))
    with fake_api(*events) as api:
        process = _proxied(api, plan, *_client(kind, code), code=code)
        try:
            check(api)
        finally:
            if "kill" not in step["fault"]:
                process.terminate()
            said = process.communicate(timeout=20)[1]
    return process.returncode, said


@BOTH
def test_the_proxy_stands_alone_before_another_runtime_api(tmp_path: Path, kind: str) -> None:
    """It runs the client, posts an error for the first event, and passes the answer to the second."""

    def check(api: FakeApi) -> None:
        error, answer = api.wait_for(2)
        assert (error.route, error.headers["lambda-runtime-function-error-type"]) == ("invocation/r-1/error", "Storm")
        assert (answer.route, answer.body) == ("invocation/r-2/response", b'"r-2"')

    source = "def handler(event, context): return context.aws_request_id"
    step = {"fault": "function.error", "error_type": "Storm", "count": 1, "functions": ["f"]}
    _, said = _stand_alone(tmp_path, kind, step, event(b"{}"), event(b"{}", "r-2"), check=check, source=source)
    assert "function.error (steps[0])" in said


def test_a_streamed_answer_passes_the_standing_proxy_chunk_by_chunk(tmp_path: Path) -> None:
    """With its mode, its chunks and its trailers' names, byte for byte as our client writes them."""

    def check(api: FakeApi) -> None:
        (answer,) = api.wait_for(1)
        assert answer.headers["lambda-runtime-function-response-mode"] == "streaming"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "lambda-runtime-function-error-type" in answer.headers["trailer"].lower()
        assert b"one" in answer.body
        assert answer.body.endswith(b"0\r\n\r\n")

    step = {"fault": "function.error", "rate": 0}
    _stand_alone(tmp_path, OURS, step, event(b"{}"), check=check, source=STREAM)


@BOTH
def test_the_proxy_stands_between_the_emulator_and_a_client(tmp_path: Path, kind: str) -> None:
    """AWS's own Runtime API sees the plan's error for the first invocation, and the handler's answer to the second."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context): return event['n'] + 1")
    plan = tmp_path / "plan.json"
    step = {"fault": "function.error", "error_type": "Storm", "message": "asked for", "count": 1, "for_s": 600}
    plan.write_text(json.dumps({"steps": [step]}))
    command = [sys.executable, "-m", "localcloud", "chaos", "proxy", "--plan", str(plan), "--", *_client(kind, code)]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "sluiceway", code)))
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "LAMBDA_TASK_ROOT": str(code),
        "PYTHONPATH": path,
        "_HANDLER": "app.handler",
    }
    with emulate(command, task_root=code, variables=variables, log=tmp_path / "log") as emulated:
        told = emulated.invoke({"n": 1})
        assert isinstance(told, dict)
        assert (told["errorType"], told["errorMessage"]) == ("Storm", "asked for")
        assert emulated.invoke({"n": 2}) == 3


@BOTH
def test_the_standing_proxy_kills_the_program_and_gives_its_code(tmp_path: Path, kind: str) -> None:
    """137, as a shell says of SIGKILL; the answer that was ready is lost."""

    def check(api: FakeApi) -> None:
        assert api.answers() == []

    source = "def handler(event, context): return 1"
    step = {"fault": "function.kill", "when": "after"}
    code, said = _stand_alone(tmp_path, kind, step, event(b"{}"), check=check, source=source)
    assert (code, "function.kill (steps[0])" in said) == (137, True)


@pytest.mark.parametrize(
    ("step", "words", "said"),
    [
        ({"fault": "call.throttle", "service": "sqs"}, ["--upstream", "h:1"], "is not for a proxy of the Runtime API"),
        ({"fault": "function.kill"}, ["--upstream", "h:1"], "function.kill needs the program that it kills"),
        ({"fault": "function.error"}, ["--upstream", "nowhere"], "HOST:PORT, not 'nowhere'"),
        ({"fault": "function.error", "rate": 2}, ["--upstream", "h:1"], "steps[0].rate: a number from 0 to 1, not 2"),
    ],
)
def test_the_standing_proxy_refuses_what_it_cannot_do(
    tmp_path: Path, step: dict[str, Any], words: list[str], said: str
) -> None:
    """With exit code 2, before anything has begun."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"steps": [{"for_s": 1, **step}]}))
    command = [sys.executable, "-m", "localcloud", "chaos", "proxy", "--plan", str(plan), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
