"""runtime.logs: frames, formats and levels beside the managed runtime's own."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from awslambdaric import bootstrap
from awslambdaric import lambda_runtime_log_utils as official

from localcloud.compute.log_pipe import split_frames
from sluiceway.runtime import logs
from sluiceway.runtime.context import Call, LambdaContext
from sluiceway.runtime.faults import Failure

CONTEXT = LambdaContext(Call("r-1", b"", 0, tenant_id="t-1"), {})
FAILURE = Failure("no\nway", "Bad", "r-1", ('  File "a.py", line 1, in f\n    x = 1\n', ""), "")
LEVELS = [0, 5, 10, 15, 20, 25, 30, 40, 50, 60]


@contextmanager
def root_logger() -> Iterator[logging.Logger]:
    """The root logger without handlers; as it was before afterwards. No fixture: pytest adds its own after those."""
    root = logging.getLogger()
    kept, level, converter = root.handlers[:], root.level, logging.Formatter.converter
    root.handlers[:] = []
    try:
        yield root
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
        logging.Formatter.converter = converter


class Kept:
    """A sink that keeps what it got."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def log(self, message: str, frame: Any = 0xA55A0003) -> None:
        self.messages.append((message, self._type(frame)))

    def log_lines(self, lines: list[str], frame: Any) -> None:
        self.log("|".join(lines), frame)

    def log_error(self, lines: list[str]) -> None:
        self.messages.append(("|".join(lines), b""))

    @staticmethod
    def _type(frame: Any) -> bytes:
        return frame.to_bytes(4, "big") if isinstance(frame, int) else frame or b"\xa5\x5a\x00\x03"


class OfficialKept(Kept):
    """The same, as the official handlers call it."""

    def log(self, message: str, frame_type: Any = None) -> None:
        super().log(message, frame_type)


def speak(logger: logging.Logger) -> None:
    """A line of each kind and level; the call's own place is in some of them."""
    for level in LEVELS:
        logger.log(level, "at %s", level)
    logger.warning({"event": "dict", "n": 1})
    logger.warning("extra", extra={"jobs": [1], "when": object, "skip": None})
    try:
        int("x")
    except ValueError:
        logger.exception("failed")


def written(logger: logging.Logger, sink: Kept, handler: logging.Handler) -> list[Any]:
    """What one handler makes of it, with the places of the code left as they are."""
    logger.handlers[:] = [handler]
    logger.setLevel(1)
    speak(logger)
    return [(json.loads(text) if text.startswith("{") else text, frame) for text, frame in sink.messages]


@pytest.mark.parametrize("variables", [
    {}, {"AWS_LAMBDA_LOG_FORMAT": "Text"}, {"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "TRACE"}, {"AWS_LAMBDA_LOG_LEVEL": "INFO"},
])  # fmt: skip
def test_lines_are_the_managed_runtimes(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """Text and JSON, with and without levels: the same lines in frames of the same types."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time", lambda: now / 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(bootstrap, "_GLOBAL_AWS_REQUEST_ID", "r-1")
    monkeypatch.setattr(bootstrap, "_GLOBAL_TENANT_ID", "t-1")
    ours, theirs = Kept(), OfficialKept()
    log_format = official.LogFormat.from_str(variables.get("AWS_LAMBDA_LOG_FORMAT"))
    level = official._get_log_level_from_env_var(variables.get("AWS_LAMBDA_LOG_LEVEL"))
    with root_logger() as logger:
        logs.set_up_logging(ours, variables, current=lambda: CONTEXT)
        chosen = logger.level
        bootstrap._setup_logging(log_format, level, theirs)
        assert chosen == logger.level
        first, second = logger.handlers
        assert written(logger, ours, first) == written(logger, theirs, second)


def test_a_line_outside_an_invocation_has_no_request_id():
    """At init there is none."""
    sink = Kept()
    with root_logger() as logger:
        logs.set_up_logging(sink, {}, current=lambda: None)
        logger.warning("early")
    assert sink.messages[0][0].endswith("Z\t\tearly\n")


def test_a_line_of_an_invocation_has_its_request_id():
    """In the third column."""
    sink = Kept()
    with root_logger() as logger:
        logs.set_up_logging(sink, {}, current=lambda: CONTEXT)
        logger.warning("busy")
    level, _time, request_id, message = sink.messages[0][0].split("\t")
    assert (level, request_id, message) == ("[WARNING]", "r-1", "busy\n")


def test_a_failure_in_text(monkeypatch: pytest.MonkeyPatch):
    """The managed runtime's lines: leading spaces are hard ones."""
    ours, theirs = Kept(), Kept()
    logs.log_failure(FAILURE, ours, as_json=False)
    bootstrap.log_error(FAILURE.members(), theirs)
    assert ours.messages == [(theirs.messages[0][0], b"\xa5\x5a\x00\x17")]


@pytest.mark.parametrize("failure", [FAILURE._replace(message=""), FAILURE._replace(trace=()), FAILURE])
def test_every_failure_in_text_reads_the_same(failure: Failure):
    """Without a message, without a trace."""
    ours, theirs = Kept(), Kept()
    logs.log_failure(failure, ours, as_json=False)
    bootstrap.log_error(failure.members(), theirs)
    assert ours.messages[0][0] == theirs.messages[0][0]


def test_a_failure_in_json():
    """Time and level before the error's own members, in a frame that says JSON and ERROR."""
    sink = Kept()
    logs.log_failure(FAILURE, sink, as_json=True)
    (line, frame) = sink.messages[0]
    members = json.loads(line)
    assert list(members) == ["timestamp", "level", "errorMessage", "errorType", "requestId", "stackTrace"]
    assert (members["level"], frame) == ("ERROR", b"\xa5\x5a\x00\x16")


def test_frames_keep_the_lines_of_a_message_together():
    """Type, length, microseconds, message; any text, even what UTF-8 cannot hold."""
    read, write = os.pipe()
    sink = logs.open_sink(str(write))
    before = time.time_ns() // 1000
    sink.log("one\ntwo ä\ud800")
    sink.log_lines(["a", "b"], 0xA55A0017)
    data = bytearray(os.read(read, 65536))
    assert data[:4] == b"\xa5\x5a\x00\x03"
    assert before <= int.from_bytes(data[8:16], "big") <= time.time_ns() // 1000
    assert split_frames(data) == ["one\ntwo ä\\ud800".encode(), b"a\nb"]
    os.close(read)
    os.close(write)


def test_without_a_descriptor_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]):
    """The lines of an error with carriage returns between them, which keeps them one record."""
    sink = logs.open_sink("")
    sink.log("line\n")
    sink.log_lines(["a", "b"], 0)
    assert capsys.readouterr().out == "line\na\rb\n"


def test_what_cannot_be_formatted_does_not_reach_the_handler(capsys: pytest.CaptureFixture[str]):
    """As with every logging handler: it is told on standard error."""
    with root_logger() as logger:
        logs.set_up_logging(Kept(), {}, current=lambda: None)
        logger.warning("%d", "no number")
    assert "TypeError: %d format" in capsys.readouterr().err


def test_output_is_written_through(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    """Nothing waits for a flush that a frozen environment never makes; a partial line is out too."""
    path = tmp_path / "out"
    with path.open("w", encoding="utf-8") as file, path.open("a", encoding="utf-8") as other:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", other)
        logs.write_through()
        sys.stdout.write("par")
        assert path.read_text() == "par"
        print("tial ä", file=sys.stderr)
        assert path.read_text() == "partial ä\n"
        assert isinstance(sys.stdout, io.TextIOWrapper)
