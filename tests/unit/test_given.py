"""What words and samconfig say together: the template, its Region, its name."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from localcloud.cli.given import TEMPLATE, Given, add_template_words, read_given

SAMCONFIG = """
[default.deploy.parameters]
stack_name = "corner"
region = "eu-north-1"
capabilities = "CAPABILITY_IAM"
tags = "team=blue"
role_arn = "arn:aws:iam::123456789012:role/deploys"
[built.global.parameters]
stack_name = "shop"
region = "eu-west-1"
[built.deploy.parameters]
template_file = "out/template.yaml"
parameter_overrides = "A=1"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a template, a built one and a samconfig."""
    monkeypatch.chdir(tmp_path)
    for path in (Path("template.yaml"), Path("out/template.yaml")):
        path.parent.mkdir(exist_ok=True)
        path.write_text("Resources: {}")
    Path("samconfig.toml").write_text(SAMCONFIG)
    return tmp_path


def _given(*words: str) -> Given:
    parser = argparse.ArgumentParser()
    add_template_words(parser, default=TEMPLATE)
    return read_given(parser.parse_args(words))


def test_samconfig_counts() -> None:
    """Its environment `default` where none is named, as for sam; one that is named alone."""
    used, unused = ("stack corner", "Region eu-north-1"), ("role_arn", "tags")
    assert _given() == Given(TEMPLATE, "eu-north-1", "corner", Path("samconfig.toml"), {}, used, unused)
    used = ("template out/template.yaml", "stack shop", "Region eu-west-1", "parameters A")
    built = Given(Path("out/template.yaml"), "eu-west-1", "shop", Path("samconfig.toml"), {"B": "x=y"}, used)
    assert _given("--config-env", "built", "--parameter-overrides", "B=x=y") == built


def test_without_a_samconfig_or_its_default_nothing_is_said() -> None:
    """The names of a plain start."""
    Path("samconfig.toml").write_text("[built.deploy.parameters]\nregion = 'eu-west-1'\n")
    plain = Given(TEMPLATE, "us-east-1", "sluiceway", Path("samconfig.toml"), {})
    assert _given() == plain
    assert plain.told() == ""
    Path("samconfig.toml").unlink()
    assert _given() == plain


def test_what_samconfig_decides_is_told() -> None:
    """And what would make a difference on AWS and makes none here; a Region that was named is nobody else's word."""
    assert [_given(*words).told() for words in ((), ("--region", "us-east-2"), ("--config-env", "built"))] == [
        "samconfig.toml: stack corner, Region eu-north-1; not used here: role_arn, tags",
        "samconfig.toml: stack corner; not used here: role_arn, tags",
        "samconfig.toml: template out/template.yaml, stack shop, Region eu-west-1, parameters A",
    ]


def test_a_word_wins_over_samconfig() -> None:
    """A Region and a template that were named."""
    given = _given("--config-env", "built", "--region", "us-west-2", "--template", "./out/../template.yaml")
    assert (given.region, given.template) == ("us-west-2", Path("out/../template.yaml"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--config-env", "no"), "has no environment 'no'"),
        (("--template", "no.yaml"), "there is no no.yaml"),
        (("--template", "out/template.yaml", "--config-env", "built"), "there is no samconfig.toml beside out"),
        (("--parameter-overrides", "A"), "--parameter-overrides takes KEY=VALUE, not A"),
    ],
)
def test_what_makes_no_sense_is_said(words: tuple[str, ...], message: str) -> None:
    """In a sentence that says what to do."""
    with pytest.raises(ValueError, match=message):
        _given(*words)
