"""log: one JSON line, fields that do not mix, and no text of other people's errors."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, ServiceUnavailable

PROMPT = "the prompt that nobody may log"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was written, parsed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]):
    """The event name is the message, fields stand beside it, and the location is the caller's."""
    log.info("batch.settled", failed=2, names=["a"], nothing=None)
    (line,) = lines(capsys)
    assert {name: line.get(name) for name in ("level", "message", "failed", "names")} == {
        "level": "INFO",
        "message": "batch.settled",
        "failed": 2,
        "names": ["a"],
    }
    assert "nothing" not in line
    assert str(line["location"]).startswith("test_a_line_is_one_json_object:")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels_below_the_configured_one_are_silent(capsys: pytest.CaptureFixture[str], level: str):
    """INFO is the default, so debug lines cost no output."""
    getattr(log, level)("some.event")
    assert [line["level"] for line in lines(capsys)] == ([] if level == "debug" else [level.upper()])


def test_names_that_logging_keeps_are_moved_aside(capsys: pytest.CaptureFixture[str]):
    """A field called like an attribute of log records must not raise in production."""
    log.info("some.event", name="n", args="a", module="m", message="t", level="x")
    (line,) = lines(capsys)
    assert {name: line[name] for name in ("name_", "args_", "module_", "message_", "level_")} == {
        "name_": "n",
        "args_": "a",
        "module_": "m",
        "message_": "t",
        "level_": "x",
    }
    assert (line["message"], line["level"]) == ("some.event", "INFO")


def test_a_subject_is_asked_when_a_line_is_written(capsys: pytest.CaptureFixture[str]):
    """Its fields stand between those of the blocks around and within; where nothing is written it is never asked."""
    asked: list[int] = []

    class Message:
        @property
        def log_fields(self) -> dict[str, log.Field]:
            asked.append(1)
            return {"message_id": "m1", "attempt": 2}

    with log.bound(request_id="r", attempt=1), log.about(Message()):
        assert asked == []
        with log.bound(step="s"):
            log.info("message.seen", note="n")
    log.info("outside")
    seen, outside = lines(capsys)
    assert (seen["request_id"], seen["message_id"], seen["attempt"], seen["step"]) == ("r", "m1", 2, "s")
    assert not {"request_id", "message_id", "step"} & set(outside)
    assert asked == [1]


async def test_bound_fields_do_not_mix_between_tasks(capsys: pytest.CaptureFixture[str]):
    """Records handled at the same time each keep their own ids."""

    async def handle(record: int) -> None:
        with log.bound(record=record):
            await asyncio.sleep(0)
            log.info("record.seen", again=record)

    with log.bound(request_id="r"):
        async with asyncio.TaskGroup() as group:
            for record in range(20):
                group.create_task(handle(record))
        log.info("batch.done")
    log.info("outside")
    *seen, done, outside = lines(capsys)
    assert sorted((line["record"], line["again"], line["request_id"]) for line in seen) == [
        (record, record, "r") for record in range(20)
    ]
    assert ("record" in done, "request_id" in done, "request_id" in outside) == (False, True, False)


def test_a_failure_tells_type_and_place_but_not_its_text(capsys: pytest.CaptureFixture[str]):
    """Other people's errors quote their input, so only ours are read, by field."""
    try:
        json.loads("{" + PROMPT)
    except ValueError as cause:
        log.failure("job.failed", cause, job_id="j")
    out = capsys.readouterr().out
    assert PROMPT not in out
    line = json.loads(out)
    assert (line["error_type"], line["job_id"], line["level"]) == ("JSONDecodeError", "j", "ERROR")
    assert line["frames"][0].startswith("test_log.py:")


def test_a_failure_that_nobody_logs_is_not_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Its frames are made only where the level lets the line through; the line's place is its caller's."""
    described: list[BaseException] = []
    describe = log._describe

    def describe_and_count(cause: BaseException) -> dict[str, log.Field]:
        described.append(cause)
        return describe(cause)

    monkeypatch.setattr(log, "_describe", describe_and_count)
    logger, _ = log._logger()
    before = logger.level
    try:
        logger.setLevel("CRITICAL")
        log.failure("a", ValueError())
        logger.setLevel("ERROR")
        log.failure("b", KeyError())
    finally:
        logger.setLevel(before)
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [type(each) for each in described] == [KeyError]
    assert line["location"].startswith("test_a_failure_that_nobody_logs_is_not_described:")


def test_our_errors_are_told_by_field(capsys: pytest.CaptureFixture[str]):
    """Reason, field, AWS code and request id are what somebody searches for; the text stays out."""
    log.failure("a", Rejected(PROMPT, reason="invalid-body", field="prompt"))
    unavailable = ServiceUnavailable(PROMPT, service="sqs", operation="SendMessage", code="Throttled", request_id="r")
    log.failure("b", unavailable)
    log.failure("c", Misconfigured("JOBS_TABLE is not set", what="JOBS_TABLE"))
    out = capsys.readouterr().out
    assert PROMPT not in out
    rejected, refused, wrong = (json.loads(line) for line in out.splitlines())
    assert (rejected["reason"], rejected["field"]) == ("invalid-body", "prompt")
    assert (refused["aws_service"], refused["aws_code"], refused["aws_request_id"]) == ("sqs", "Throttled", "r")
    assert (wrong["what"], wrong["error"]) == ("JOBS_TABLE", "JOBS_TABLE is not set")


def test_a_silent_process_does_not_import_powertools():
    """A cold start that logs nothing pays nothing for logging."""
    code = (
        "import sys; from sluiceway import log; print('aws_lambda_powertools' in sys.modules, 'logging' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "layers/sluiceway"}, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"False", b"False"]


DEFERRED = """
import json, sys
from sluiceway import log
log.info("some.event")
first = [name for name in ("aws_lambda_powertools.tracing", "jmespath") if name in sys.modules]
from aws_lambda_powertools import Logger, Tracer, __version__
import aws_lambda_powertools, aws_lambda_powertools.logging.logger as logger
same = Logger is logger.Logger and Tracer is sys.modules["aws_lambda_powertools.tracing"].Tracer
found = logger.jmespath_utils.query({"a": {"b": 1}}, "a.b")
absent = [hasattr(aws_lambda_powertools, "Nothing"), hasattr(logger.jmespath_utils, "nothing")]
print(json.dumps([first, same, found, absent, __version__.count(".")]))
"""


def test_a_line_imports_of_powertools_what_it_needs_and_the_rest_still_works():
    """Tracer and the query language wait until something asks for them, and are then the usual ones."""
    ran = subprocess.run([sys.executable, "-c", DEFERRED], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout.splitlines()[-1]) == [[], True, 1, [False, False], 2]


def test_powertools_that_is_there_already_is_left_alone():
    """A function that imported it first keeps its modules."""
    code = (
        "import aws_lambda_powertools as before, sys; from sluiceway import log; log.info('some.event'); "
        "print(sys.modules['aws_lambda_powertools'] is before and 'jmespath' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "True"
