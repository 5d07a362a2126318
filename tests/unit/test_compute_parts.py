"""The small parts of Lambda: log pipes, platform lines, resource policies, interpreters."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.compute.function import FunctionSpec, LogFormat
from localcloud.compute.interpreters import find_interpreter
from localcloud.compute.log_pipe import MAX_EVENT_BYTES, LogPipe, split_frames, split_lines
from localcloud.compute.platform_log import PlatformLog, Report
from localcloud.compute.policies import FunctionPolicies, Grant
from localcloud.compute.process import describe_exit
from localcloud.services.iam.policy import Caller, evaluate
from localcloud.services.logs.model import Logs
from sluiceway.errors import Misconfigured

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"


class Noon:
    def time(self) -> float:
        return 1_700_000_000.123


def frame(message: bytes, kind: bytes = b"\xa5\x5a\x00\x03") -> bytes:
    return kind + len(message).to_bytes(4, "big") + (1).to_bytes(8, "big") + message


@given(
    st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=6),
    st.data(),
)
def test_lines_come_whole_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    """Any cut of the bytes gives the same lines."""
    text = "".join(f"{line}\n" for line in lines).encode()
    found: list[bytes] = []
    buffer = bytearray()
    while text:
        size = data.draw(st.integers(1, len(text)))
        buffer += text[:size]
        text = text[size:]
        found += split_lines(buffer)
    assert [line.decode() for line in found] == lines
    assert not buffer


@given(st.lists(st.binary(max_size=50).filter(lambda b: not b.endswith((b"\r", b"\n"))), max_size=5), st.data())
def test_frames_come_whole_however_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    """Any cut of the bytes gives the same messages, newlines inside kept."""
    stream = b"".join(map(frame, messages))
    found: list[bytes] = []
    buffer = bytearray()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        found += split_frames(buffer)
    assert found == messages


def test_what_is_no_frame_is_a_message_as_it_is() -> None:
    """A function that writes into the descriptor itself loses nothing."""
    buffer = bytearray(b"not a frame at all, but long enough")
    assert split_frames(buffer) == [b"not a frame at all, but long enough"]


def test_an_endless_line_is_cut_at_the_size_of_an_event() -> None:
    """CloudWatch takes 1 MB an event."""
    buffer = bytearray(b"x" * (MAX_EVENT_BYTES + 5))
    assert [len(line) for line in split_lines(buffer)] == [MAX_EVENT_BYTES]
    assert bytes(buffer) == b"xxxxx"


async def test_a_pipe_is_read_at_once_and_its_rest_at_the_end() -> None:
    """`drain` gives whole lines, `flush` the unfinished one, `close` what is left."""
    seen: list[str] = []
    pipe = LogPipe(split_lines, seen.append)
    os.write(pipe.write_fd, b"one\r\ntwo\nthr")
    pipe.drain()
    assert seen == ["one", "two"]
    pipe.flush()
    assert seen == ["one", "two", "thr"]
    os.write(pipe.write_fd, b"last \xff")
    pipe.flush()
    pipe.close()
    pipe.close()
    assert seen[-1] == "last \ufffd"


def log(log_format: LogFormat = LogFormat.TEXT) -> tuple[PlatformLog, Logs]:
    logs = Logs(clock=Noon())
    spec = FunctionSpec(name="f", arn=ARN, handler="a.b", code_dir=Path(), memory_mb=256, log_format=log_format)
    return PlatformLog(spec, "stream", logs=logs, clock=Noon()), logs


def test_the_lines_of_a_cold_invocation() -> None:
    """INIT_START, START, END and REPORT as Lambda writes them, tabs and all."""
    written, logs = log()
    written.init_start("python:3.13.0")
    written.start("r-1")
    written.report(Report(request_id="r-1", duration_ms=12.345, init_ms=100.5, max_memory_mb=40))
    assert [event.message for event in logs.events("/aws/lambda/f")] == [
        "INIT_START Runtime Version: python:3.13.0\tRuntime Version ARN: ",
        "START RequestId: r-1 Version: $LATEST",
        "END RequestId: r-1",
        (
            "REPORT RequestId: r-1\tDuration: 12.35 ms\tBilled Duration: 113 ms\tMemory Size: 256 MB\t"
            "Max Memory Used: 40 MB\tInit Duration: 100.50 ms\t"
        ),
    ]


MISSING = "[ERROR] FileNotFoundError: [Errno 2] No such file or directory: '{}'"
UNREACHED = 'botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL: "https://{}/x"'


@pytest.mark.parametrize(("log_format", "begins"), [(LogFormat.TEXT, "SLUICEWAY "), (LogFormat.JSON, '{"time"')])
@pytest.mark.parametrize(
    ("line", "met", "other", "words"),
    [
        (MISSING, "/opt/words.txt", "/srv/words.txt", "on the import path"),
        (UNREACHED, "a1.execute-api.us-east-1.amazonaws.com", "example.com", "other addresses here"),
    ],
)
def test_a_line_that_meets_a_difference_is_explained_once(
    log_format: LogFormat, begins: str, line: str, met: str, other: str, words: str
) -> None:
    """A path of layers that is not there, an API on AWS that nobody reaches. Other failures and mere names are not."""
    written, logs = log(log_format)
    for message in (f"reading '{met}'", line.format(other), line.format(met), line.format(met)):
        written.write(message)
    messages = [event.message for event in logs.events("/aws/lambda/f")]
    assert (len(messages), messages[3].startswith(begins), words in messages[3]) == (5, True, True)


def test_the_events_of_a_json_log() -> None:
    """The same as JSON platform events, with millisecond dates."""
    written, logs = log(LogFormat.JSON)
    written.start("r-1")
    written.failure("r-1", "Task timed out after 3.00 seconds", "Sandbox.Timedout")
    written.report(Report(request_id="r-1", duration_ms=3000.0, status="timeout", error_type="Sandbox.Timedout"))
    events = [json.loads(event.message) for event in logs.events("/aws/lambda/f")]
    assert events == [
        {
            "time": "2023-11-14T22:13:20.123Z",
            "type": "platform.start",
            "record": {"requestId": "r-1", "version": "$LATEST"},
        },
        {
            "time": "2023-11-14T22:13:20.123Z",
            "type": "platform.report",
            "record": {
                "requestId": "r-1",
                "metrics": {
                    "durationMs": 3000.0,
                    "billedDurationMs": 3000,
                    "memorySizeMB": 256,
                    "maxMemoryUsedMB": 256,
                },
                "status": "timeout",
                "errorType": "Sandbox.Timedout",
            },
        },
    ]


def test_the_tail_begins_with_its_invocation_and_ends_with_its_report() -> None:
    """4 KB of bytes at most, nothing of the invocation before."""
    written, _ = log()
    written.start("r-1")
    written.write("old")
    written.start("r-2")
    written.write("new")
    assert written.tail() == b"START RequestId: r-2 Version: $LATEST\nnew\n"
    written.write("é" * 5000)
    assert len(written.tail()) == 4096


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "Runtime exited without providing a reason"),
        (1, "Runtime exited with error: exit status 1"),
        (-9, "Runtime exited with error: signal: killed"),
        (-15, "Runtime exited with error: signal: terminated"),
        (-10, "Runtime exited with error: signal: signal 10"),
        (-200, "Runtime exited with error: signal: signal 200"),
    ],
)
def test_how_an_exit_is_worded(code: int, words: str) -> None:
    """As the emulator words it."""
    assert describe_exit(code) == words


@pytest.mark.parametrize(
    ("grant", "source", "allowed"),
    [
        (Grant("s", "lambda:InvokeFunction", "apigateway.amazonaws.com"), "arn:aws:execute-api:r:1:a/s/GET/x", True),
        (Grant("s", "lambda:*", "apigateway.amazonaws.com"), "arn:aws:execute-api:r:1:a/s/GET/x", True),
        (Grant("s", "lambda:GetFunction", "apigateway.amazonaws.com"), "arn:aws:execute-api:r:1:a/s/GET/x", False),
        (Grant("s", "lambda:InvokeFunction", "sns.amazonaws.com"), "arn:aws:execute-api:r:1:a/s/GET/x", False),
        (
            Grant("s", "lambda:InvokeFunction", "apigateway.amazonaws.com", "arn:aws:execute-api:r:1:a/*/GET/jobs/*"),
            "arn:aws:execute-api:r:1:a/v1/GET/jobs/7",
            True,
        ),
        (
            Grant("s", "lambda:InvokeFunction", "apigateway.amazonaws.com", "arn:aws:execute-api:r:1:a/*/GET/jobs/*"),
            "arn:aws:execute-api:r:1:a/v1/POST/jobs",
            False,
        ),
        (
            Grant("s", "lambda:InvokeFunction", "apigateway.amazonaws.com", source_account="2"),
            "arn:aws:execute-api:r:1:a/s/GET/x",
            False,
        ),
    ],
)
def test_resource_policies(grant: Grant, source: str, allowed: bool) -> None:
    """Action, principal, source ARN with wildcards and source account all count."""
    policies = FunctionPolicies()
    policies.add(ARN, grant)
    assert policies.allows(ARN, service="apigateway.amazonaws.com", source_arn=source) is allowed
    document = policies.policy_of(ARN)
    assert document is not None
    context = {"aws:SourceArn": source, "aws:SourceAccount": source.split(":")[4]}
    caller = Caller(service="apigateway.amazonaws.com")
    decided = evaluate([document], "lambda:InvokeFunction", ARN, context=context, caller=caller)
    assert decided.allowed is allowed
    policies.remove("s")
    assert not policies.allows(ARN, service="apigateway.amazonaws.com", source_arn=source)
    assert policies.policy_of(ARN) is None


def test_the_running_interpreter_is_present() -> None:
    """The version that runs these tests is found, outside of any virtual environment."""
    minor = sys.version_info[1]
    choice = find_interpreter(f"python3.{minor}", environ={"PATH": ""})
    assert choice.difference == ""
    assert choice.interpreter.version[:2] == (3, minor)
    assert choice.interpreter.executable == Path(sys._base_executable).resolve()


def test_an_absent_interpreter_is_replaced_by_the_nearest_aloud() -> None:
    """With no other on the path, the runtime falls back to this one, and says so."""
    minor = sys.version_info[1]
    choice = find_interpreter("python3.15", environ={"PATH": "", "HOME": "/nonexistent"})
    version = ".".join(map(str, sys.version_info[:3]))
    if minor != 15:
        assert choice.difference == f"python3.15 is not on this machine; functions run on Python {version}"


def test_a_shim_that_refuses_is_not_present(tmp_path: Path) -> None:
    """An executable of the right name that fails is passed over."""
    shim = tmp_path / "python3.15"
    shim.write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    shim.chmod(0o755)
    choice = find_interpreter("python3.15", environ={"PATH": str(tmp_path), "HOME": "/nonexistent"})
    assert choice.interpreter.version[1] != 15 or choice.difference == ""


@pytest.mark.parametrize("runtime", ["nodejs22.x", "provided.al2023", "python2.7", ""])
def test_other_runtimes_are_refused_by_name(runtime: str) -> None:
    """Only Python runs here."""
    with pytest.raises(Misconfigured, match="only python3"):
        find_interpreter(runtime, environ={})
