"""What the words of a command and one environment of samconfig say together: the template, its Region, its name.

A word wins over samconfig, as with `sam deploy`. samconfig is looked for beside the template, and where no template is
named, here; its environment `default` counts where no other one is named, as it does for sam.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DEFAULT_REGION", "TEMPLATE", "Given", "add_template_words", "read_given"]

DEFAULT_REGION: Final = "us-east-1"
TEMPLATE: Final = Path("template.yaml")


@dataclass(frozen=True, slots=True)
class Given:
    """One deployment as a person named it. `settings` is the samconfig file that counts.

    `used` says what it decides, `unused` names settings of it that would make a difference on AWS and make none here.
    """

    template: Path
    region: str
    stack_name: str
    settings: Path
    overrides: Mapping[str, str]
    used: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def told(self) -> str:
        """What samconfig has to do with it, in a sentence; "" where it has nothing."""
        parts = [", ".join(self.used), f"not used here: {', '.join(self.unused)}" if self.unused else ""]
        said = "; ".join(part for part in parts if part)
        return f"{self.settings.name}: {said}" if said else ""


def add_template_words(parser: argparse.ArgumentParser, *, default: Path | None) -> None:
    """The words that name a template and what is decided for it."""
    said = f"a SAM or CloudFormation template; default: {TEMPLATE}" if default else "the ledger of this template"
    parser.add_argument("--template", "-t", type=Path, default=default, metavar="FILE", help=said)
    parser.add_argument(
        "--config-env",
        metavar="ENV",
        help="environment of samconfig.toml (.yaml) that counts; default: default",
    )
    parser.add_argument(
        "--parameter-overrides", nargs="*", default=[], metavar="KEY=VALUE", help="the template's parameters"
    )
    parser.add_argument("--region", default="", help=f"default: {DEFAULT_REGION}")
    parser.add_argument("--allow", action="append", default=[], metavar="NAME", help="start although NAME is refused")


def read_given(options: argparse.Namespace) -> Given:
    """Raises ValueError: no such template, no samconfig, no such environment, words that make no sense."""
    from localcloud.template.errors import TemplateError  # noqa: PLC0415 - YAML, which few commands read
    from localcloud.template.source import (  # noqa: PLC0415 - the same
        DEFAULT_ENVIRONMENT,
        read_settings,
        settings_file,
    )

    template: Path = options.template or TEMPLATE
    settings = settings_file(template.parent)
    try:
        said = read_settings(settings, environment=options.config_env or DEFAULT_ENVIRONMENT)
    except TemplateError as error:
        raise ValueError(str(error)) from error
    if options.config_env and not settings.exists():
        message = f"there is no samconfig.toml beside {template} that could say what {options.config_env} is"
        raise ValueError(message)
    names_template = bool(said.template) and template == TEMPLATE
    if names_template:
        template = settings.parent / said.template
    if not template.exists():
        message = f"there is no {template}; name the template with --template FILE"
        raise ValueError(message)
    used = {
        f"template {said.template}": names_template,
        f"stack {said.stack_name}": bool(said.stack_name),
        f"Region {said.region}": bool(said.region) and not options.region,
        f"parameters {', '.join(said.parameters)}": bool(said.parameters),
    }
    return Given(
        template=template,
        region=options.region or said.region or DEFAULT_REGION,
        stack_name=said.stack_name or "sluiceway",
        settings=settings,
        overrides=_read_overrides(options.parameter_overrides),
        used=tuple(sentence for sentence, counts in used.items() if counts),
        unused=said.unused,
    )


def _read_overrides(pairs: list[str]) -> dict[str, str]:
    overrides: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            message = f"--parameter-overrides takes KEY=VALUE, not {pair}"
            raise ValueError(message)
        overrides[name] = value
    return overrides
