"""The functions' lifespans: a deployment that lacks a setting fails at init and names it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from functions.generate_answer import app as generate_answer
from functions.read_job import app as read_job
from sluiceway.errors import Misconfigured

AWS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
SETTINGS = {
    "generate_answer": {
        "JOBS_TABLE": "jobs",
        "RESULTS_BUCKET": "results",
        "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead",
        "JOBS_QUEUE_URL": "http://127.0.0.1/1/jobs",
        "QUEUE_VISIBILITY_S": "360",
        "MODEL_ID": "amazon.nova-micro-v1:0",
        "MAX_OUTPUT_TOKENS": "512",
        "MAX_RECEIVES": "6",
    },
    "read_job": {
        "JOBS_TABLE": "jobs",
        "RESULTS_BUCKET": "results",
        "QUEUE_RETENTION_S": "345600",
        "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
    },
}
MODULES: dict[str, Any] = {"generate_answer": generate_answer, "read_job": read_job}


def opened(monkeypatch: pytest.MonkeyPatch, name: str, without: str = "") -> AbstractAsyncContextManager[Any]:
    for setting, value in {**AWS, **SETTINGS[name]}.items():
        monkeypatch.setenv(setting, value)
    if without:
        monkeypatch.delenv(without)
    return MODULES[name].lifespan()


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_whole_deployment_opens_without_a_connection(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Init reads settings and opens nothing: a service that is away is no init error."""
    async with opened(monkeypatch, name) as services:
        assert services is not None


@pytest.mark.parametrize(("name", "setting"), [(name, setting) for name in SETTINGS for setting in SETTINGS[name]])
async def test_a_missing_setting_is_named(name: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Misconfigured says which one, before the first event."""
    with pytest.raises(Misconfigured) as caught:
        async with opened(monkeypatch, name, without=setting):
            pass
    assert caught.value.what == setting


def test_the_template_sets_what_the_functions_read() -> None:
    """The variables of this test are the template's, name for name, and the queue's numbers are the queue's."""
    text = (Path(__file__).parents[2] / "template.yaml").read_text(encoding="utf-8")
    for settings in SETTINGS.values():
        for setting in settings:
            assert f"          {setting}: " in text
    assert 'MAX_RECEIVES: "6"' in text
    assert "maxReceiveCount: 6" in text
    assert 'QUEUE_VISIBILITY_S: "360"' in text
    assert "VisibilityTimeout: 360 " in text
    assert 'QUEUE_RETENTION_S: "345600"' in text
    assert "MessageRetentionPeriod: 345600" in text
