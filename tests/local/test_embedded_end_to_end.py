"""The whole path with the small language model that `make run` uses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from localcloud.models.install import missing
from tests.local.conftest import call_api, start_cloud

pytestmark = [pytest.mark.local, pytest.mark.embedded]


def test_a_real_model_answers_a_job(tmp_path: Path) -> None:
    """POST a prompt, GET the text that the embedded model wrote; the same prompt gives the same text."""
    assert missing() == [], "run `sluiceway model install` (make does)"
    cloud = start_cloud(tmp_path / "state", "--model", "embedded")
    try:
        token = cloud.token()
        texts: list[str] = []
        for key in ("one", "two"):
            body = {"prompt": "Name three rivers & say why.", "max_tokens": 24, "temperature": 0}
            job_id = call_api(cloud.api, "POST", "jobs", token=token, body=body, idempotency_key=key).json()["job_id"]
            ends = time.monotonic() + 120
            while (job := call_api(cloud.api, "GET", f"jobs/{job_id}", token=token).json())["state"] != "succeeded":
                assert job["state"] in {"queued", "running"}, job
                assert time.monotonic() < ends, job
                time.sleep(0.2)
            texts.append(job["result"]["text"])
            assert 1 <= job["result"]["usage"]["output_tokens"] <= 24
        assert texts[0] == texts[1]
        assert "scripted" not in texts[0].lower()
        assert len(texts[0].split()) >= 5
    finally:
        cloud.sluiceway("down")
