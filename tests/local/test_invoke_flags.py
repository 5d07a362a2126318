"""`sluiceway invoke` against a cloud that runs: the flags of `sam local invoke` that change what it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.local.conftest import ROOT, RunningCloud

pytestmark = pytest.mark.local


def test_the_log_goes_to_a_file_and_adds_up_there(cloud: RunningCloud, tmp_path: Path) -> None:
    """--log-file: nothing on stderr, the reply alone on stdout, and a second invocation after the first."""
    file = tmp_path / "read_job.log"
    arguments = ("invoke", "ReadJob", "-e", "events/read_job/unknown.json", "--log-file", str(file))
    first = cloud.sluiceway(*arguments)
    cloud.sluiceway(*arguments)
    assert first.stderr == ""
    assert json.loads(first.stdout)["statusCode"] == 404
    assert file.read_text().count("platform.report") == 2


def test_the_template_that_runs_may_be_named(cloud: RunningCloud) -> None:
    """`-t template.yaml --region us-east-1`, as scripts written for sam give them, invokes."""
    named = cloud.sluiceway(
        "invoke", "ReadJob", "-e", "events/read_job/unknown.json", "-t", str(ROOT / "template.yaml"),
        "--region", "us-east-1",
    )  # fmt: skip
    assert json.loads(named.stdout)["statusCode"] == 404


def test_a_log_file_that_cannot_be_written_is_an_error(cloud: RunningCloud, tmp_path: Path) -> None:
    """Exit code 2, and the file's name."""
    bad = cloud.sluiceway("invoke", "ReadJob", "--no-event", "-l", str(tmp_path / "no" / "log"), check=False)
    assert bad.returncode == 2
    assert "no/log" in bad.stderr
