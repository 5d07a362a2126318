"""Firehose is an option of the template: nothing of it where it is off, a refusal by name where it is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.conftest import RunningCloud, start_cloud

pytestmark = pytest.mark.local

REFUSED = {"RecordsFirehoseStream": "AWS::KinesisFirehose::DeliveryStream"}


def test_the_cloud_does_not_start_as_if_firehose_were_there(tmp_path: Path) -> None:
    """It ends, and names the resource with its type; nothing else of the template is refused."""
    cloud = RunningCloud(tmp_path / "state")
    told = cloud.sluiceway(
        "up", "--detach", "--port", "0", "--parameter-overrides", "RecordsFirehose=true", check=False
    )
    assert told.returncode != 0
    said = told.stdout + told.stderr
    refused = [line.split()[1:3] for line in said.splitlines() if line.startswith("refused")]
    assert {name: kind.strip("():") for name, kind in refused} == REFUSED


def test_what_is_allowed_to_be_missing_is_left_out_and_the_rest_is_there(tmp_path: Path) -> None:
    """As docs/producing.md says; role, log group and log stream of the delivery stream deploy."""
    allowed = [word for kind in REFUSED.values() for word in ("--allow", kind)]
    cloud = start_cloud(tmp_path / "state", "--parameter-overrides", "RecordsFirehose=true", *allowed)
    try:
        assert "RecordsStreamName" in cloud.status["outputs"]
    finally:
        cloud.sluiceway("down")
