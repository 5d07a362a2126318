"""Where a start's parameters come from: this machine, samconfig.toml, the template's own metadata, the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.options import CloudOptions, cloud_parameters
from localcloud.template.errors import TemplateError
from localcloud.template.source import read_template

TEMPLATE = """
Metadata: {Sluiceway: %s}
Parameters:
  Architecture: {Type: String}
  Page: {Type: String, Default: http://127.0.0.1:4603}
  Other: {Type: String, Default: x}
Resources: {Q: {Type: AWS::SQS::Queue}}
"""
CONSOLE = "http://127.0.0.1:40123"


def parameters_of(
    folder: Path, metadata: str, *, overrides: dict[str, str] | None = None, config: str = ""
) -> dict[str, str]:
    template = folder / "template.yaml"
    template.write_text(TEMPLATE % metadata)
    if config:
        (folder / "samconfig.toml").write_text(config)
    options = CloudOptions(
        template=template,
        state=folder,
        cache=folder,
        environ={},
        progress=lambda _: None,
        config_env="dev" if config else None,
        overrides=overrides or {},
    )
    return cloud_parameters(options, read_template(template), "x86_64", console=CONSOLE)


def test_the_named_parameter_takes_the_consoles_origin(tmp_path: Path) -> None:
    """And no other one does."""
    assert parameters_of(tmp_path, "{Console: {Origin: Page}}") == {"Architecture": "x86_64", "Page": CONSOLE}
    assert parameters_of(tmp_path, "{}") == {"Architecture": "x86_64"}


def test_the_command_line_weighs_more_than_the_console_and_a_file_less(tmp_path: Path) -> None:
    """What a person says now is what is meant; a file says it for a deployment."""
    config = '[dev.deploy.parameters]\nparameter_overrides = ["Page=https://console.example"]\n'
    metadata = "{Console: {Origin: Page}}"
    assert parameters_of(tmp_path, metadata, config=config)["Page"] == CONSOLE
    given = parameters_of(tmp_path, metadata, overrides={"Page": "http://localhost:3000"})
    assert given["Page"] == "http://localhost:3000"


def test_the_default_environment_counts_where_none_is_named(tmp_path: Path) -> None:
    """As for sam; one that is named stands alone."""
    config = '[default.deploy.parameters]\nparameter_overrides = "Other=y Unknown=1"\n[dev]\n'
    (tmp_path / "samconfig.toml").write_text(config)
    assert parameters_of(tmp_path, "{}") == {"Architecture": "x86_64", "Other": "y"}
    assert parameters_of(tmp_path, "{}", config=config) == {"Architecture": "x86_64"}


@pytest.mark.parametrize(
    ("metadata", "where"),
    [
        ("{Console: {Origin: Nothing}}", "Metadata.Sluiceway.Console"),
        ("{Console: {Place: Page}}", "Metadata.Sluiceway.Console"),
        ("{Console: {Origin: [Page]}}", "Metadata.Sluiceway.Console"),
        ("{Console: Page}", "Metadata.Sluiceway.Console"),
        ("{TokenIssuer: [1]}", "Metadata.Sluiceway.TokenIssuer"),
        ("[Console]", "Metadata.Sluiceway"),
    ],
)
def test_metadata_that_names_no_parameter_is_refused(tmp_path: Path, metadata: str, where: str) -> None:
    """With the place where it stands."""
    with pytest.raises(TemplateError) as caught:
        parameters_of(tmp_path, metadata)
    assert caught.value.where == where
