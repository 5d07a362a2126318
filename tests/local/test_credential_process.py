"""Credentials that a program prints: real processes, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from sluiceway.aws import session_credentials
from sluiceway.aws.credential_process import process_credentials
from sluiceway.aws.session_credentials import SessionCredentials
from sluiceway.aws.sqs import SQS
from sluiceway.aws.wire import Outside, Wire
from sluiceway.errors import Misconfigured, ServiceUnavailable
from tests.unit.wire_server import always, answer, raw_server

GOOD: dict[str, object] = {
    "Version": 1,
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "sEcReT",
    "SessionToken": "tok",
    "Expiration": "2100-01-01T00:00:00Z",
}


def printing(text: str) -> SessionCredentials:
    """Credentials of a program that prints `text`."""
    return process_credentials([sys.executable, "-S", "-c", f"print({text!r})"])


async def test_a_wire_signs_with_what_the_program_prints(tmp_path: Path) -> None:
    """It is run once for all calls, without a shell: its arguments arrive as they are."""
    runs = tmp_path / "runs"
    code = "import sys; open(sys.argv[1], 'a').write(sys.argv[2]); print(sys.argv[3])"
    command = [sys.executable, "-S", "-c", code, str(runs), "$HOME;", json.dumps(GOOD)]
    async with raw_server(always(answer())) as server:
        settings = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.url}
        async with Wire.open(settings, outside=Outside(credentials=process_credentials(command))) as wire:
            await wire.call(SQS, "SendMessage", {})
            await wire.call(SQS, "SendMessage", {})
        headers = [request.headers for request in server.requests]
    assert runs.read_text() == "$HOME;"
    assert ["Credential=ASIAEXAMPLE/" in each["authorization"] for each in headers] == [True, True]
    assert [each["x-amz-security-token"] for each in headers] == ["tok", "tok"]


async def test_long_term_keys_need_no_token_and_no_date() -> None:
    """Then they are kept."""
    source = printing(json.dumps({"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b"}))
    credentials = await source.get()
    assert (credentials.token, credentials.expires_s, source.at_hand()) == ("", None, credentials)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        json.dumps({**GOOD, "Version": 2}),
        json.dumps({**GOOD, "AccessKeyId": ""}),
        json.dumps({**GOOD, "SecretAccessKey": None}),
        json.dumps({**GOOD, "SessionToken": "a\r\nb"}),
        json.dumps({**GOOD, "SessionToken": 7}),
        json.dumps({**GOOD, "Expiration": "soon"}),
        json.dumps({**GOOD, "Expiration": "2100-01-01T00:00:00"}),
        json.dumps({**GOOD, "More": "m" * 40_000}),
    ],
)
async def test_other_output_is_an_outage(text: str) -> None:
    """Whatever it is, and none of it is told."""
    with pytest.raises(ServiceUnavailable) as caught:
        await printing(text).get()
    assert (caught.value.code, "sEcReT" in str(caught.value)) == ("MalformedOutput", False)


async def test_a_program_that_fails_is_an_outage() -> None:
    """With its status; what it printed counts for nothing."""
    source = process_credentials([sys.executable, "-S", "-c", f"print({json.dumps(GOOD)!r}); raise SystemExit(3)"])
    with pytest.raises(ServiceUnavailable, match="ended with status 3") as caught:
        await source.get()
    assert caught.value.code == "ProcessFailed"


async def test_a_caller_that_gives_up_ends_the_program(tmp_path: Path) -> None:
    """Nothing outlives the call that wanted it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); print(1, flush=True); time.sleep(600)"
    source = process_credentials([sys.executable, "-S", "-c", code])
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(source.get())
        pid = int(await asyncio.to_thread(pipe.read_text))
        asking.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_late_program_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended at the limit, whatever it has printed."""
    monkeypatch.setattr(session_credentials, "LIMIT_S", 0.0)
    source = process_credentials([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    with pytest.raises(ServiceUnavailable) as caught:
        await source.get()
    assert caught.value.code == "TimedOut"


@pytest.mark.parametrize("command", [["/nonexistent/program"], ["no-such-program-anywhere"], []])
async def test_a_program_that_is_not_there_fails_when_the_client_opens(command: list[str]) -> None:
    """It is named."""
    outside = Outside(credentials=process_credentials(command))
    with pytest.raises(Misconfigured) as caught:
        async with Wire.open({"AWS_REGION": "eu-west-1"}, outside=outside):
            pass
    assert caught.value.what == (command[0] if command else "")
