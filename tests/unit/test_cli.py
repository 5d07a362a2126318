"""The command's words: what it takes, what it answers where something is missing, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import webbrowser
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any
from webbrowser import BackgroundBrowser, GenericBrowser

import pytest

from localcloud.cli import serving
from localcloud.cli.main import main
from localcloud.state import RunningState, write_state

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = "Resources: {Jobs: {Type: AWS::SQS::Queue}}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with nothing of the developer's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(folder: Path, **members: Any) -> None:
    """This very process as a cloud that runs in `folder`."""
    logs = {f"stack-{name}": str(folder / f"{name}.log") for name in ("ReadJob", "Work")}
    known: dict[str, Any] = {
        "pid": os.getpid(),
        "template": "template.yaml",
        "region": "us-east-1",
        "audience": "",
        "endpoints": {"aws": "http://127.0.0.1:1", "serverlessrestapi": "http://127.0.0.1:2/x/Prod"},
        "outputs": {"JobsUrl": "http://127.0.0.1:1/jobs"},
        "functions": {"ReadJob": "stack-ReadJob", "Work": "stack-Work"},
        "logs": logs,
    }
    write_state(folder / ".sluiceway", RunningState(**(known | members)))


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--port", "65533"], "a port is 0 to 65532, not 65533"),
        (["up", "--port", "-1"], "a port is 0 to 65532, not -1"),
        (["up", "--port", "http"], "a port is 0 to 65532, not http"),
        (["up", "--det"], "unrecognized arguments: --det"),
        (["logs", "-n", "-3"], "a number of lines is 0 or more, not -3"),
        (["status", "--jason"], "unrecognized arguments: --jason"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "required: command"),
    ],
)
def test_words_that_are_not_taken_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Exit code 2 and one sentence; abbreviations are no words either."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "-t", "gone.yaml"], "there is no gone.yaml; name the template with --template FILE"),
        (["up", "--config-env", "dev"], "there is no samconfig.toml beside template.yaml that could say what dev is"),
        (["up", "--parameter-overrides", "Size"], "--parameter-overrides takes KEY=VALUE, not Size"),
    ],
)
@pytest.mark.parametrize("detached", [[], ["--detach"]])
def test_up_called_wrongly_starts_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, detached: list[str]
) -> None:
    """Exit code 2, one sentence that says what to write, and no state folder."""
    (folder / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    assert main([*arguments, *detached]) == 2
    assert capsys.readouterr().err == f"sluiceway: {said}\n"
    assert not (folder / ".sluiceway").exists()


@pytest.mark.parametrize("detached", [[], ["--detach"]])
def test_up_beside_a_cloud_that_runs_says_both_ways_on(
    folder: Path, capsys: pytest.CaptureFixture[str], detached: list[str]
) -> None:
    """Its process is named, and its log of a detached start is left as it is."""
    (folder / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    _run(folder)
    (folder / ".sluiceway" / "up.log").write_text("theirs", encoding="utf-8")
    assert main(["up", *detached]) == 1
    said = capsys.readouterr().err
    assert f"process {os.getpid()}" in said
    assert "`sluiceway down`" in said
    assert "--port 0 and a --state folder of its own" in said
    assert (folder / ".sluiceway" / "up.log").read_text(encoding="utf-8") == "theirs"


def test_a_detached_start_leaves_the_local_cloud_to_its_child() -> None:
    """The process that only waits imports no server, no SDK and no service: its child does that at the same time."""
    code = "import localcloud.cli.up, sys; print({'aiohttp', 'jsonschema', 'localcloud.cloud'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_refusal_is_said_once_with_its_way_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, and the words that let it start; exit code 3."""
    (folder / "template.yaml").write_text(
        "Resources: {Jobs: {Type: AWS::SQS::Queue, Properties: {Colour: red}}, No: {Type: AWS::EC2::VPC}}",
        encoding="utf-8",
    )
    assert main(["up", "--port", "0"]) == 3
    first, second, third, words = capsys.readouterr().err.splitlines()
    assert first == "refused   Jobs.Colour (AWS::SQS::Queue): Colour is not served here"
    assert second.startswith("refused   No (AWS::EC2::VPC)")
    assert third.endswith("to start without it, add")
    assert words == "  --allow Jobs.Colour --allow No"


def test_what_of_samconfig_is_not_used_is_said_once(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the process that serves, detached or not."""
    (folder / "template.yaml").write_text("Resources: {No: {Type: AWS::EC2::VPC}}", encoding="utf-8")
    (folder / "samconfig.toml").write_text('[default.deploy.parameters]\ntags = "a=b"\n', encoding="utf-8")
    for words in ([], ["--detach"]):
        monkeypatch.setattr(sys, "argv", ["sluiceway", "up", "--port", "0", *words])  # what a detached child is given
        assert main() == 3
        assert capfd.readouterr().err.count("samconfig.toml: not used here: tags") == 1


def test_a_file_of_replies_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The system's words, without its number."""
    (folder / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    assert main(["up", "--port", "0", "--model", "scripted:gone.json"]) == 1
    assert capsys.readouterr().err == "sluiceway: gone.json: No such file or directory\n"


@pytest.mark.parametrize("command", [["status"], ["down"], ["logs"], ["token"], ["invoke", "x"]])
def test_without_a_cloud_the_next_step_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Exit code 1."""
    assert main(command) == 1
    assert "start one with `sluiceway up`" in capsys.readouterr().err


def test_a_token_is_made_with_claims(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON where a value is it, else text; what is no claim, or not for the asking, is code 2."""
    _run(folder, audience="sluiceway")
    assert main(["token", "--claim", 'cognito:groups=["a","b"]', "--claim", "custom:tenant=acme"]) == 0
    payload = capsys.readouterr().out.split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["cognito:groups"], claims["custom:tenant"]) == (["a", "b"], "acme")
    for wrong, said in (("x", "--claim is NAME=VALUE, not x"), ("sub=x", "the claim sub is the issuer's own")):
        assert main(["token", "--claim", wrong]) == 2
        assert capsys.readouterr().err == f"sluiceway: {said}\n"


@pytest.mark.parametrize(
    "arguments", [["--state", "there", "status", "aws"], ["status", "aws", "--state", "there"]], ids=["before", "after"]
)
def test_the_state_folder_is_named_before_or_after_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Both places mean the same."""
    _run(folder)
    (folder / ".sluiceway").rename(folder / "there")
    assert main(arguments) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:1\n"


# ---------------------------------------------------------------- status


def test_status_shows_endpoints_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of `up`: what one connects to, then the stack's outputs."""
    _run(folder)
    assert main(["status"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == ["aws", "serverlessrestapi", "JobsUrl"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("ServerlessRestApi", "http://127.0.0.1:2/x/Prod"), ("jobsurl", "http://127.0.0.1:1/jobs")],
)
def test_status_takes_a_name_in_any_case(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """A logical id as the template spells it is the endpoint of that API."""
    _run(folder)
    assert main(["status", name]) == 0
    assert capsys.readouterr().out == f"{value}\n"


def test_status_does_not_choose_between_names_that_are_alike(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exact one, or none."""
    _run(folder, outputs={"Url": "one", "URL": "two"})
    assert main(["status", "URL"]) == 0
    assert main(["status", "url"]) == 2
    said = capsys.readouterr()
    assert said.out == "two\n"
    assert "no endpoint or output url; there are aws, serverlessrestapi, Url, URL" in said.err


# ---------------------------------------------------------------- logs


def test_logs_of_several_functions_name_each_by_its_logical_id(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last lines of each, in columns; a function that has not logged yet has none."""
    _run(folder)
    (folder / "ReadJob.log").write_text("one\ntwo\n", encoding="utf-8")
    (folder / "Work.log").write_text("three\n", encoding="utf-8")
    assert main(["logs", "-n", "1"]) == 0
    assert capsys.readouterr().out == "ReadJob  two\nWork     three\n"


def test_logs_of_one_function_stand_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As they were written; `-n 0` shows none of them."""
    _run(folder)
    (folder / "ReadJob.log").write_text("one\ntwo\n", encoding="utf-8")
    assert main(["logs", "read_job"]) == 0
    assert main(["logs", "read_job", "-n", "0"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


# ---------------------------------------------------------------- invoke


def test_an_event_file_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    _run(folder)
    assert main(["invoke", "read_job", "-e", "gone.json"]) == 2
    assert capsys.readouterr().err == "sluiceway: gone.json: No such file or directory\n"


def test_an_event_that_is_no_json_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard input by that name, not as `-`."""
    _run(folder)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no json")))
    assert main(["invoke", "read_job", "-e", "-"]) == 2
    assert "the event on standard input is not JSON" in capsys.readouterr().err


def test_status_as_json_is_the_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts that want more than one value."""
    _run(folder)
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["endpoints"]["aws"] == "http://127.0.0.1:1"


def test_a_reader_that_has_enough_ends_the_command_quietly(folder: Path) -> None:
    """`sluiceway logs | head -1`: exit code 0, no traceback."""
    _run(folder)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "status"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env=dict(os.environ) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'layers' / 'sluiceway'}"},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("browser", "opened", "said"),
    [
        (BackgroundBrowser, ["http://127.0.0.1:4603"], ""),
        (GenericBrowser, [], "no browser"),  # in the terminal, which is this command's
        (None, [], "no browser"),
    ],
)
def test_the_console_opens_where_there_is_a_browser(
    browser: type[GenericBrowser] | None,
    opened: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Elsewhere the command says where the console is."""
    calls: list[str] = []

    def get() -> GenericBrowser:
        if browser is None:
            raise webbrowser.Error
        return browser("a-browser")

    monkeypatch.setattr(webbrowser, "get", get)
    monkeypatch.setattr(BackgroundBrowser, "open", lambda _self, url, *_: calls.append(url) or True)
    serving._open_browser("http://127.0.0.1:4603")
    assert (calls, said in capsys.readouterr().err) == (opened, True)


def test_the_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """That of the installed package."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out.split()[0]) == (0, "sluiceway")
