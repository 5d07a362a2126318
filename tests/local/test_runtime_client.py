"""The runtime client as a process: beside the official one on the same Runtime API, and as Lambda starts it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from localcloud.compute.log_pipe import split_frames
from tests.local.compute_world import open_world
from tests.local.generated_handlers import generate
from tests.local.runtime_clients import OFFICIAL, OURS, client, make_layer
from tests.local.sam_tools import emulate, find_emulator, find_python313
from tests.unit.fake_runtime_api import Received, chunks, event

pytestmark = pytest.mark.local
COUNT = 250
STAMP = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The function's folder."""
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def shape(answer: Received) -> dict[str, Any]:
    """What a caller, X-Ray and the platform can see of one answer."""
    seen: dict[str, Any] = {
        "route": answer.route,
        "content type": answer.headers.get("content-type"),
        "invocation": answer.headers.get("lambda-runtime-invocation-id"),
    }
    cause = answer.headers.get("lambda-runtime-function-xray-error-cause")
    if cause is not None:
        text = cause if cause.isascii() else cause.encode("latin-1").decode()
        seen["cause"] = json.loads(text)
        seen["cause"]["paths"].sort()
    is_json = seen["content type"] == "application/json"
    seen["body"] = json.loads(answer.body, parse_constant=str) if is_json else answer.body
    return seen


def serve_all(kind: str, code: Path, events: list[bytes], **variables: str) -> tuple[list[dict[str, Any]], str, Any]:
    """Answers, output and frames of a client that served every event."""
    with client(kind, code, *events, **variables) as running:
        answers = [shape(answer) for answer in running.api.wait_for(len(events))]
        assert running.api.idle.wait(10)
    types, rest = [], bytes(running.frames)
    while rest:
        types.append(rest[:4].hex())
        rest = rest[16 + int.from_bytes(rest[4:8], "big") :]
    frames = [STAMP.sub("<time>", frame.decode()) for frame in split_frames(running.frames)]
    return answers, STAMP.sub("<time>", running.said()), list(zip(types, frames, strict=True))


@pytest.mark.parametrize(
    ("seed", "variables"),
    [
        (1, {}),
        (2, {"FRAMED": "1"}),
        (3, {"FRAMED": "1", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}),
    ],
)
def test_generated_handlers_see_and_show_the_same_as_under_the_official_client(
    code: Path, seed: int, variables: dict[str, str]
):
    """Hundreds of handlers and events: the same answers, output and log records, in the same order."""
    source, events = generate(seed, COUNT)
    (code / "app.py").write_text(source, encoding="utf-8")
    ours = serve_all(OURS, code, events, **variables)
    official = serve_all(OFFICIAL, code, events, **variables)
    for mine, theirs in zip(ours[0], official[0], strict=True):
        assert mine == theirs
    assert ours[1].splitlines() == official[1].splitlines()
    assert ours[2] == official[2]


INIT = {
    "missing module": ("import nothing_of_this_name\n", "app.handler"),
    "missing file": ("", "nowhere.handler"),
    "missing handler": ("x = 1\n", "app.handler"),
    "malformed name": ("", "handler"),
    "built-in module": ("", "sys.exit"),
    "syntax": ("def handler(:\n", "app.handler"),
    "raises": ("def f():\n    raise KeyError('k')\nf()\n", "app.handler"),
    "nested": ("", "in/side.handler"),
}


@pytest.mark.parametrize("case", sorted(INIT))
def test_init_errors_are_the_official_clients(code: Path, case: str):
    """Body, type, log lines and exit code."""
    source, handler = INIT[case]
    (code / "app.py").write_text(source)
    (code / "in").mkdir()
    (code / "in" / "side.py").write_text("raise ValueError('nested')\n")
    found = []
    for kind in (OURS, OFFICIAL):
        with client(kind, code, handler=handler) as running:
            exit_code = running.wait()
            (answer,) = running.api.wait_for(1)
            kind_header = answer.headers["lambda-runtime-function-error-type"]
            found.append((answer.route, kind_header, json.loads(answer.body), exit_code, STAMP.sub("", running.said())))
    ours, official = found
    if case == "malformed name":  # Python's own words about unpacking
        assert ours[2].pop("errorMessage").startswith("Bad handler 'handler'")
        assert official[2].pop("errorMessage").startswith("Bad handler 'handler'")
    assert ours == official


def test_an_exit_at_import_ends_the_process_with_its_code(code: Path):
    """Without an answer, as under the official client."""
    (code / "app.py").write_text("raise SystemExit(7)\n")
    with client(OURS, code) as running:
        assert running.wait() == 7
        assert running.api.received == []


def test_a_wrong_setting_of_an_app_is_an_init_error(code: Path):
    """The App enters its lifespan at import: Misconfigured names the setting."""
    (code / "app.py").write_text(APP.replace("yield 'services'", "yield settings.text('MISSING')"))
    with client(OURS, code) as running:
        assert running.wait() == 1
        (answer,) = running.api.wait_for(1)
    assert answer.route == "init/error"
    assert answer.headers["lambda-runtime-function-error-type"] == "Misconfigured"
    assert json.loads(answer.body)["errorMessage"] == "MISSING is not set"


APP = """
import asyncio, os, sys
from contextlib import asynccontextmanager
from sluiceway import settings
from sluiceway.app import App
from sluiceway.codec import sqs
from sluiceway.events.sqs import BatchReport
from sluiceway.events.stream import HttpStream

@asynccontextmanager
async def lifespan():
    print("entered", flush=True)
    try:
        yield 'services'
    finally:
        await asyncio.sleep(0.01)
        print("left", flush=True)

async def flow(batch, call, services):
    print("began", flush=True)
    await asyncio.sleep(float(os.environ.get("WORK_S", "0")))
    return BatchReport()

handler = App(flow, source=sqs, lifespan=lifespan)
"""
BATCH = b'{"Records":[]}'


@pytest.mark.parametrize("variables", [{}, {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}])
def test_sigterm_closes_the_lifespan_of_a_waiting_environment(code: Path, variables: dict[str, str]):
    """Then the signal does what it does."""
    (code / "app.py").write_text(APP)
    with client(OURS, code, event(BATCH), **variables) as running:
        running.api.wait_for(1)
        assert running.api.idle.wait(10)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == -signal.SIGTERM
        assert running.said().split() == ["entered", "began", "left"]


@pytest.mark.parametrize("variables", [{}, {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}])
def test_sigterm_cancels_what_runs_and_closes_the_lifespan(code: Path, variables: dict[str, str]):
    """No answer: the environment is going."""
    (code / "app.py").write_text(APP)
    with client(OURS, code, event(BATCH), WORK_S="60", **variables) as running:
        while "began" not in running.said():
            assert running.process.poll() is None
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == -signal.SIGTERM
        assert running.said().split() == ["entered", "began", "left"]
        assert running.api.answers() == []


def test_snapstart_waits_for_its_restore_with_the_lifespan_left(code: Path):
    """Entered at init, where a wrong setting is an init error; left for the snapshot; entered after the restore."""
    (code / "app.py").write_text(APP)
    with client(OURS, code, event(BATCH), AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") as running:
        running.api.wait_for(2)
        routes = [request.route for request in running.api.received]
        assert routes[:3] == ["restore/next", "invocation/next", "invocation/r-1/response"]
        assert running.said().split() == ["entered", "left", "entered", "began"]


def test_many_at_once_in_one_process(code: Path):
    """Eight invocations that wait for one another, with the App's loop and without."""
    (code / "app.py").write_text(
        "import asyncio\nmeeting = asyncio.Barrier(8)\n"
        "async def handler(event, context):\n    await meeting.wait()\n    return event\n"
    )
    events = [event(b"%d" % number, f"r-{number}") for number in range(16)]
    with client(OURS, code, *events, AWS_LAMBDA_MAX_CONCURRENCY="8") as running:
        answers = running.api.wait_for(16)
    assert sorted(json.loads(answer.body) for answer in answers) == list(range(16))


@pytest.mark.parametrize("limit", ["x", "-1", "1601"])
def test_a_limit_of_concurrency_that_is_none_is_an_init_error(code: Path, limit: str):
    """Rather than a guess."""
    (code / "app.py").write_text("def handler(e, c): pass\n")
    with client(OURS, code, AWS_LAMBDA_MAX_CONCURRENCY=limit) as running:
        assert running.wait() == 1
        (answer,) = running.api.wait_for(1)
    assert json.loads(answer.body)["errorType"] == "Misconfigured"


def test_a_lost_runtime_api_ends_the_process(code: Path):
    """With a line that says so."""
    (code / "app.py").write_text("def handler(e, c): pass\n")
    with client(OURS, code) as running:
        running.api.decide = lambda _request: b"HTTP/1.1 500 Internal\r\nContent-Length: 0\r\n\r\n"
        assert running.wait() == 1
        assert "LAMBDA_RUNTIME next was answered with 500" in running.said()


# ---------------------------------------------------------------- how it is started


def test_the_wrapper_keeps_the_interpreter_and_its_options(tmp_path: Path):
    """Options first, then the client, then the runtime's own script with what it was given; spaces stay in one."""
    layer = make_layer(tmp_path)
    show = tmp_path / "python show"
    show.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n')
    show.chmod(0o755)
    options = ["-B", "-X", "importtime", "-W", "ignore", "-Es"]
    command = [str(layer / "bootstrap"), str(show), *options, "/var/runtime/bootstrap.py", "a b", "-x", "*"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    main = str(layer / "python" / "sluiceway" / "runtime" / "__main__.py")
    assert said == [*options, main, "/var/runtime/bootstrap.py", "a b", "-x", "*"]


def test_a_custom_runtime_needs_no_arguments(tmp_path: Path):
    """Then python3 is taken from PATH."""
    layer = make_layer(tmp_path)
    (tmp_path / "bin").mkdir()
    show = tmp_path / "bin" / "python3"
    show.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
    show.chmod(0o755)
    environ = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    said = subprocess.run([str(layer / "bootstrap")], capture_output=True, text=True, check=True, env=environ).stdout
    assert said.splitlines() == [str(show), str(layer / "python" / "sluiceway" / "runtime" / "__main__.py")]


STREAM = """
import asyncio
from sluiceway.events.stream import HttpStream

async def handler(event, context):
    if event == "error":
        raise ValueError("no")
    if event == "plain":
        return {"id": context.aws_request_id}
    async def parts():
        yield "streamed "
        await asyncio.sleep(0)
        yield "answer"
        if event == "midway":
            raise ValueError("midway")
    return HttpStream(parts(), 201)
"""


async def test_under_the_local_cloud(tmp_path: Path):
    """AWS_LAMBDA_EXEC_WRAPPER=/opt/bootstrap on a function with the layer: replies, streams, errors."""
    layer = make_layer(tmp_path)
    async with open_world(tmp_path) as world:
        wrapped = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}
        world.add(STREAM, environment=wrapped, layer_dirs=(layer,))
        plain = await world.answer("plain")
        streamed = await world.invoke("stream")
        midway = await world.invoke("midway")
        failed = await world.invoke("error")
    assert list(plain) == ["id"]
    assert streamed.payload == b'{"statusCode":201,"headers":{}}' + bytes(8) + b"streamed answer"
    assert (midway.function_error, failed.function_error) == ("Unhandled", "Unhandled")
    assert json.loads(failed.payload)["errorMessage"] == "no"


def test_chunks_of_a_stream_in_a_process(code: Path):
    """One chunk a part, over a second connection."""
    (code / "app.py").write_text(STREAM)
    with client(OURS, code, event(b'"stream"')) as running:
        (answer,) = running.api.wait_for(1)
    assert chunks(answer.body)[1:] == [b"streamed ", b"answer"]
    assert answer.connection == 2


# ---------------------------------------------------------------- the runtime interface emulator


EMULATED = """
import asyncio
from sluiceway.events.stream import ByteStream

count = 0

async def handler(event, context):
    global count
    count += 1
    await asyncio.sleep(0)
    if event == "error":
        raise ValueError("no")
    if event == "stream":
        async def parts():
            yield '"streamed '
            await asyncio.sleep(0.01)
            yield 'answer"'
        return ByteStream(parts(), "application/json")
    left = context.get_remaining_time_in_millis()
    return {"event": event, "count": count, "name": context.function_name, "left": left}
"""


def test_under_the_runtime_interface_emulator(tmp_path: Path, code: Path):
    """The wrapper in the emulator's argument list, before interpreter and script, as Lambda gives it."""
    find_emulator()
    python = str(find_python313().executable)
    layer = make_layer(tmp_path)
    (code / "app.py").write_text(EMULATED)
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "10",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_REGION": "eu-west-1",
        "_HANDLER": "app.handler",
        "LAMBDA_TASK_ROOT": str(code),
    }
    command = [str(layer / "bootstrap"), python, "-B", "/var/runtime/bootstrap.py"]
    with emulate(command, task_root=code, variables=variables, log=tmp_path / "emulator.log") as function:
        first = function.invoke({"ä": [1, None]})
        error = function.invoke("error")
        streamed = function.invoke("stream")
        large = function.invoke("x" * 1_000_000)
        last = function.invoke(1)
    assert isinstance(first, dict)
    assert 0 < first.pop("left") <= 10_000
    assert first == {"event": {"ä": [1, None]}, "count": 1, "name": "f"}
    assert isinstance(error, dict)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no")
    assert streamed == "streamed answer"
    assert isinstance(large, dict)
    assert len(large["event"]) == 1_000_000
    assert isinstance(last, dict)
    assert last["count"] == 5


def test_an_init_error_under_the_emulator(tmp_path: Path, code: Path):
    """The emulator tells it as it tells the official client's."""
    find_emulator()
    python = str(find_python313().executable)
    layer = make_layer(tmp_path)
    variables = {"PATH": "/usr/bin:/bin", "_HANDLER": "nowhere.handler", "LAMBDA_TASK_ROOT": str(code)}
    command = [str(layer / "bootstrap"), python, "-B", "/var/runtime/bootstrap.py"]
    with emulate(command, task_root=code, variables=variables, log=tmp_path / "emulator.log") as function:
        error = function.invoke(1)
    assert isinstance(error, dict)
    assert error["errorType"] == "Runtime.ImportModuleError"
