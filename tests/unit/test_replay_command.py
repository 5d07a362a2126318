"""The replay command: its exit codes, what it prints, and how it reads its target."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from localcloud.issuer import LocalIssuer
from localcloud.replay.command import main
from localcloud.state import RunningState, write_state

EVENT = {"httpMethod": "GET", "path": "/jobs/a", "headers": {}, "requestContext": {}}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own account."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "TOKEN"]:
        monkeypatch.delenv(name)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Two functions with a case each."""
    folder = tmp_path / "events"
    for function in ("read_job", "generate_answer"):
        (folder / function).mkdir(parents=True)
        (folder / function / "one.json").write_text(json.dumps(EVENT), encoding="utf-8")
        (folder / function / "one.reply.json").write_text('{"ok": true}', encoding="utf-8")
    return folder


def _sam(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program called `sam` first on PATH."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "sam").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (programs / "sam").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def _run(events: Path, *arguments: str) -> int:
    return main(["--events", str(events), *arguments])


# ---------------------------------------------------------------- exit codes


def test_all_replies_as_recorded_is_0(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a case, one with the counts."""
    _sam(tmp_path, monkeypatch, "echo '{\"ok\": true}'")
    assert _run(events, "--target", "sam") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["generate_answer/one: same", "read_job/one: same", "2 same, 0 differs, 0 sent, 0 skipped"]


def test_a_reply_that_differs_is_1_and_says_where(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The differences stand below their case."""
    _sam(tmp_path, monkeypatch, 'case "$3" in ReadJob) echo "{}";; *) echo "{\\"ok\\": true}";; esac')
    assert _run(events, "--target", "sam") == 1
    assert capsys.readouterr().out.splitlines() == [
        "generate_answer/one: same",
        "read_job/one: differs",
        "    $.ok: missing",
        "1 same, 1 differs, 0 sent, 0 skipped",
    ]


def test_a_case_without_a_recorded_reply_is_sent_and_shown(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to compare with: the reply is printed, and the run is good."""
    _sam(tmp_path, monkeypatch, "echo '{\"ok\": true}'")
    (events / "read_job" / "one.reply.json").unlink()
    assert _run(events, "--target", "sam", "--case", "read_job") == 0
    assert "read_job/one: sent     (no reply is recorded) {'ok': True}" in capsys.readouterr().out


def test_a_recorded_null_is_compared(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function that replies nothing is held to it."""
    _sam(tmp_path, monkeypatch, 'case "$3" in ReadJob) echo "{}";; *) echo null;; esac')
    for function in ("read_job", "generate_answer"):
        (events / function / "one.reply.json").write_text("null", encoding="utf-8")
    assert _run(events, "--target", "sam") == 1
    assert capsys.readouterr().out.splitlines() == [
        "generate_answer/one: same",
        "read_job/one: differs",
        "    $: expected null, got {}",
        "1 same, 1 differs, 0 sent, 0 skipped",
    ]


def test_nothing_sent_at_all_is_1(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that skips everything proves nothing, and must not look green."""
    assert _run(events, "--target", "ws://127.0.0.1:1") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 same, 0 differs, 0 sent, 2 skipped"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "http://127.0.0.1:1"], "does not answer"),
        (["--target", "local"], "no local cloud runs from this folder; start one with `sluiceway up`"),
    ],
)
def test_an_unreachable_target_is_1(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """One sentence on stderr, no traceback."""
    assert _run(events, "--state", str(tmp_path / "none"), *arguments) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "ftp://x"], "--target is local, sam, lambda:NAME or an http or ws URL, not ftp://x"),
        (["--target", "lambda:"], "--target is local, sam, lambda:NAME"),
        (["--target", "lambda:ReadJob"], "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (["--target", "lambda:unknown"], "which events are meant for unknown? Name one function's with --case"),
        (["--target", "sam", "--case", "nothing"], "no recorded case is called nothing"),
        (["--target", "http://127.0.0.1:1", "--token", "x"], "the token is no JSON Web Token"),
    ],
)
def test_called_wrongly_is_2(events: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """One sentence on stderr that says what to write instead."""
    assert _run(events, *arguments) == 2
    assert said in capsys.readouterr().err


def test_no_target_is_2(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own exit code is the same."""
    with pytest.raises(SystemExit) as ended:
        _run(events)
    assert ended.value.code == 2
    assert "--target" in capsys.readouterr().err


def test_a_folder_without_events_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is named."""
    assert main(["--events", str(tmp_path / "gone"), "--target", "lambda:ReadJob", "--case", "a"]) == 2
    assert "gone; name that of the recorded events with --events" in capsys.readouterr().err


def test_a_broken_event_is_2_and_named(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named."""
    _sam(tmp_path, monkeypatch, "echo 1")
    (events / "read_job" / "one.json").write_text("{", encoding="utf-8")
    assert _run(events, "--target", "sam") == 2
    assert "one.json is not JSON" in capsys.readouterr().err


# ---------------------------------------------------------------- targets


def test_what_follows_two_dashes_goes_to_sam(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`replay --target sam --case read_job -- --docker-network host`: unchanged and last."""
    _sam(tmp_path, monkeypatch, 'printf \'%s\\n\' "$*" >&2; printf \'["%s"]\\n\' "$*"')
    (events / "read_job" / "one.reply.json").write_text(
        json.dumps(
            [f"local invoke ReadJob --template t.yaml --event {events}/read_job/one.json --docker-network host"]
        ),
        encoding="utf-8",
    )
    arguments = ["--target", "sam", "--template", "t.yaml", "--case", "read_job", "--", "--docker-network", "host"]
    assert _run(events, *arguments) == 0, capsys.readouterr().out


def _state(**members: Any) -> RunningState:
    known: dict[str, Any] = {
        "pid": os.getpid(),
        "template": "template.yaml",
        "region": "us-east-1",
        "audience": "sluiceway",
        "endpoints": {"aws": "http://127.0.0.1:1"},
        "outputs": {},
        "functions": {"ReadJob": "sluiceway-ReadJob"},
        "logs": {},
    }
    return RunningState(**(known | members))


def test_local_reads_the_state_of_the_cloud_that_runs(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The endpoint comes from state.json; a function that is not deployed is skipped and said."""
    write_state(tmp_path / "state", _state())
    assert _run(events, "--target", "local", "--state", str(tmp_path / "state")) == 1
    said = capsys.readouterr()
    assert "generate_answer/one: skipped  (GenerateAnswer is not in this stack)" in said.out
    assert "http://127.0.0.1:1 does not answer" in said.err


@pytest.mark.parametrize("kept", [True, False], ids=["with the local issuer", "without an issuer"])
def test_a_local_case_with_a_token_gets_one_of_the_local_issuer(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: bool
) -> None:
    """No --token is needed where the cloud's own issuer is; without it the case is skipped, and the reason said."""
    state = tmp_path / "state"
    write_state(state, _state())
    if kept:
        LocalIssuer.open(state)
    (events / "read_job" / "one.json").write_text('{"authorization": "{{token}}"}', encoding="utf-8")
    assert _run(events, "--target", "local", "--case", "read_job", "--state", str(state)) == 1
    said = capsys.readouterr()
    assert ("http://127.0.0.1:1 does not answer" in said.err) is kept
    assert ("read_job/one: skipped  (it needs a bearer token: --token or $TOKEN)" in said.out) is not kept


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"])
def test_a_deployed_function_is_reached_where_the_environment_says(
    events: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    """Keys and endpoint are read as the SDKs read them; the service's own endpoint wins over the general one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv(variable, "http://127.0.0.1:1/")
    assert _run(events, "--target", "lambda:sluiceway-dev-ReadJob-Abc123") == 1
    said = capsys.readouterr()
    assert "http://127.0.0.1:1 does not answer" in said.err
    assert "generate_answer/one: skipped" in said.out


def test_the_token_comes_from_the_environment_too(
    events: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`$TOKEN` is `--token`."""
    monkeypatch.setenv("TOKEN", "no token")
    assert _run(events, "--target", "http://127.0.0.1:1") == 2
    assert "the token is no JSON Web Token" in capsys.readouterr().err
