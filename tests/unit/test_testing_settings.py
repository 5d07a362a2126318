"""What a test run writes about its local cloud, read; and the variables by which SDKs reach it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from localcloud.testing.environment import hide_accounts, point_at
from localcloud.testing.sessions import read_settings
from localcloud.testing.settings import Settings, cloud_options


def chosen(folder: Path, **more: Any) -> dict[str, Any]:
    template = folder / "template.yaml"
    template.touch()
    texts = {"template": template, "model": "scripted", "region": "us-east-1", "seed": "0", "config_env": ""}
    return {**texts, "parameters": [], "allow": [], **more}


def test_lines_and_mappings_are_parameters(tmp_path: Path) -> None:
    """Equal settings are equal, however they are written: they share a cloud."""
    lines = read_settings(chosen(tmp_path, parameters=["Stage = test", "Size=a=b"], allow=["B", "A"]))
    mapping = read_settings(chosen(tmp_path, parameters={"Size": "a=b", "Stage": "test"}, allow=["A", "B"]))
    assert lines == mapping
    assert lines.parameters == (("Size", "a=b"), ("Stage", "test"))
    options = cloud_options(lines, tmp_path / "state", {"HOME": "/home/me"}, port=0)
    assert (options.overrides, options.allow) == ({"Size": "a=b", "Stage": "test"}, ("A", "B"))
    assert options.cache == Path("/home/me/.cache/sluiceway")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"parameters": ["Stage"]}, "a line is Name=Value, not 'Stage'"),
        ({"seed": "x"}, "a whole number, not 'x'"),
        ({"templat": "a"}, "there is no setting templat; there are allow, config_env,"),
        ({"template": "/nowhere/template.yaml"}, "there is no template /nowhere/template.yaml"),
    ],
)
def test_what_cannot_be_read_fails_the_test(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    """With what is wrong, by name."""
    with pytest.raises(pytest.fail.Exception, match=said):
        read_settings(chosen(tmp_path, **wrong))


def test_no_account_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles, sessions and endpoints of single services are away meanwhile; SDKs reach the address."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.MonkeyPatch.context() as patch:
        hide_accounts("eu-west-1", patch)
        point_at("http://127.0.0.1:1", patch)
        kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        assert kept["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
        assert (kept["AWS_REGION"], kept["AWS_DEFAULT_REGION"]) == ("eu-west-1", "eu-west-1")
        assert {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"}.isdisjoint(kept)
    assert os.environ["AWS_PROFILE"] == "mine"


def test_settings_of_their_own_are_a_cloud_of_their_own(tmp_path: Path) -> None:
    """A seed is one of them."""
    assert read_settings(chosen(tmp_path)) != read_settings(chosen(tmp_path, seed=1))
    assert read_settings(chosen(tmp_path)) == Settings(template=(tmp_path / "template.yaml").resolve())
