"""docs/jobs.md says which files an event passes through; these tests send one and look."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.unit.test_app_connections import CONTEXT, server_beside
from tests.unit.wire_server import environ

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "layers" / "sluiceway" / "sluiceway"
# What every event passes alike, or what only carries out what was decided: nobody reads it to follow one event.
SHARED = (
    "aws/", "steps/", "events/", "codec/shape.py", "errors.py", "genai/", "log.py", "settings.py",
    "idempotency/", "rules/idempotency.py",  # the guard, which docs/idempotency.md tells of
)  # fmt: skip
CONTRACTS = {"ports/__init__.py", "genai/provider.py"}  # Protocols: their implementations run, not they
SETTINGS = {
    "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
    "JOBS_TABLE": "jobs",
    "RESULTS_BUCKET": "results",
    "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
    "CONNECTIONS_URL": "http://127.0.0.1/v1",
    "JOBS_QUEUE_URL": "http://127.0.0.1/1/jobs",
    "QUEUE_VISIBILITY_S": "360",
    "MODEL_ID": "amazon.nova-micro-v1:0",
    "MAX_OUTPUT_TOKENS": "512",
    "MAX_RECEIVES": "6",
    "IDEMPOTENCY_TABLE": "keys",
    "JOB_AFTER_CRASH": "rerun",
    "QUEUE_RETENTION_S": "345600",
    "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
}


def named_in_docs(what: str) -> tuple[str, set[str]]:
    """The count and the files of one line of the list."""
    text = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    found = re.search(rf"^- {what}, (\w+): (.*?)\n(?=- |\n)", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1], set(re.findall(r"`([\w/]+\.py)`", found[2]))


def passed_by(handler: Any, event: dict[str, Any]) -> set[str]:
    """Files of the layer and the functions whose code runs for `event`, on a warm environment."""
    files: set[str] = set()

    def note(frame: FrameType, what: str, _argument: object) -> None:
        if what == "call":
            files.add(frame.f_code.co_filename)

    handler(event, CONTEXT)
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        handler(event, CONTEXT)
    finally:
        sys.setprofile(before)
    paths = [Path(file) for file in files]
    of_layer = {path.relative_to(LAYER).as_posix() for path in paths if path.is_relative_to(LAYER)}
    return of_layer | {path.relative_to(ROOT).as_posix() for path in paths if path.is_relative_to(ROOT / "functions")}


@pytest.mark.parametrize(
    ("what", "count", "function", "case"),
    [
        ("a message", "eleven", "generate_answer", "one_prompt"),  # the services answer `{}`, so it also goes back
        ("a GET", "seven", "read_job", "waiting"),
    ],
)
def test_an_event_passes_through_the_files_that_the_docs_name(
    monkeypatch: pytest.MonkeyPatch, what: str, count: str, function: str, case: str
) -> None:
    """What runs for a recorded event, less what all events share, is the documented list; it has the said length."""
    with server_beside() as server:
        for name, value in {**environ(AWS_ENDPOINT_URL=server.url), **SETTINGS}.items():
            monkeypatch.setenv(name, value)
        handler = importlib.import_module(f"functions.{function}.app").handler
        try:
            ran = passed_by(handler, json.loads((ROOT / "events" / function / f"{case}.json").read_text()))
        finally:
            handler.close()
    said, listed = named_in_docs(what)
    assert {file for file in ran if not file.startswith(SHARED)} | {f"functions/{function}/app.py"} | (
        CONTRACTS & listed
    ) == listed
    assert "ports/__init__.py" in listed
    assert (said, len(listed)) == (count, {"seven": 7, "eleven": 11}[count])
