"""`sluiceway invoke` before it invokes: flags that make no sense here, and flags that name another cloud."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localcloud.cli.main import main
from localcloud.state import RunningState, write_state

# Every option of `sam local invoke` (aws-sam-cli 1.170) that `sluiceway invoke` does not have.
REFUSED = [
    "--add-host", "--config-env", "--config-file", "--container-dns", "--container-env-vars", "--container-host",
    "--container-host-interface", "--debug", "--debug-args", "--debug-port", "--debugger-path", "--docker-network",
    "--docker-volume-basedir", "--durable-execution-name", "--env-vars", "--filesystem", "--force-image-build",
    "--hook-name", "--invoke-image", "--layer-cache-basedir", "--mount-symlinks", "--no-memory-limit",
    "--no-mount-symlinks", "--parameter-overrides", "--profile", "--runtime", "--save-params", "--shutdown",
    "--skip-prepare-infra", "--skip-pull-image", "--tenant-id", "--terraform-plan-file", "-d", "-n", "-v",
]  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a cloud that runs, as far as this process does, and where nothing listens."""
    (tmp_path / "template.yaml").touch()
    running = RunningState(
        pid=os.getpid(),
        template=str(tmp_path / "template.yaml"),
        region="us-east-1",
        audience="",
        endpoints={"aws": "http://127.0.0.1:1"},
        outputs={},
        functions={"ReadJob": "stack-ReadJob"},
        logs={},
    )
    write_state(tmp_path / "state", running)
    return tmp_path / "state"


def run(state: Path, *arguments: str) -> int:
    return main(["--state", str(state), "invoke", *arguments])


@pytest.mark.parametrize("flag", REFUSED)
@pytest.mark.parametrize("form", ["{} x", "{}=x"])
def test_a_flag_that_makes_no_sense_here_says_what_to_do_instead(
    flag: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a sentence about that very flag, whether or not a cloud runs."""
    with pytest.raises(SystemExit) as ended:
        main(["invoke", "ReadJob", *form.format(flag).split()])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"{flag} does not apply to a cloud that runs: " in said


def test_a_flag_of_nobody_is_called_unrecognized(capsys: pytest.CaptureFixture[str]) -> None:
    """No advice is made up for a word that `sam local invoke` does not know either."""
    with pytest.raises(SystemExit):
        main(["invoke", "ReadJob", "--nonsense"])
    assert "unrecognized arguments: --nonsense" in capsys.readouterr().err


def test_another_region_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cloud has one Region; the message says which, and how to have the other."""
    assert run(state, "ReadJob", "--region", "eu-west-1") == 2
    said = capsys.readouterr().err
    assert "runs in us-east-1" in said
    assert "sluiceway up --region eu-west-1" in said


@pytest.mark.parametrize("flag", ["-t", "--template", "--template-file"])
def test_another_template_is_refused(flag: str, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the template that runs and how to run the other."""
    assert run(state, "ReadJob", flag, "other.yaml") == 2
    said = capsys.readouterr().err
    assert str(state.parent / "template.yaml") in said
    assert "sluiceway up --template other.yaml" in said


def test_the_running_template_and_region_go_on_to_the_invocation(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The template may be named relative to the current folder; what fails then is the endpoint where nobody is."""
    monkeypatch.chdir(state.parent)
    assert run(state, "ReadJob", "--no-event", "--region", "us-east-1", "-t", "template.yaml") == 2
    assert "127.0.0.1:1 does not answer" in capsys.readouterr().err


def test_a_function_that_is_not_there_names_those_that_are(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt function is answered with the list."""
    assert run(state, "ReadJobs") == 2
    assert "there is no function ReadJobs; there are ReadJob" in capsys.readouterr().err


def test_an_event_and_no_event_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """As in `sam local invoke`."""
    with pytest.raises(SystemExit) as ended:
        main(["invoke", "ReadJob", "-e", "event.json", "--no-event"])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
