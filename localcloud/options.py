"""What a person may decide when a local cloud is started, and where its parameters come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from localcloud.issuer import ISSUER, keys_url, read_key_set
from localcloud.template.errors import TemplateError
from localcloud.template.source import DEFAULT_ENVIRONMENT, Source, read_settings, settings_file

__all__ = [
    "CloudOptions",
    "PairParameters",
    "TokenIssuer",
    "cloud_parameters",
    "read_console",
    "read_issuer",
    "read_pair",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """One start. `port` 0 takes free ones; `persist` None keeps nothing beyond the process.

    `state` is the folder of state.json, logs and the issuer's key; `cache` that of translations and builds.
    `environ` is the developer's own environment, for finding interpreters; functions see nothing of it.
    `model_key` is what the server of `model` asks for, "" for nothing: sent to that server alone.
    `joins` is the address of the process that holds several Regions together, "" for a cloud of one Region; `issuer`
    the folder of the issuer's key where that is not `state`. `settings` is the samconfig file, None for the one beside
    the template. `reloads`: whether edited code is run at once; `debugger`: the port of a debugger for
    all functions, 0 for none.
    """

    template: Path
    state: Path
    cache: Path
    environ: Mapping[str, str]
    progress: Callable[[str], None]
    config_env: str | None = None
    overrides: Mapping[str, str]
    region: str = "us-east-1"
    stack_name: str = "sluiceway"
    settings: Path | None = None
    port: int = 0
    persist: Path | None = None
    allow: tuple[str, ...] = ()
    model: str = "scripted"
    model_key: str = field(default="", repr=False)
    joins: str = ""
    issuer: Path | None = None
    reloads: bool = False
    debugger: int = 0

    @property
    def writes(self) -> tuple[Path, ...]:
        """The folders in which the local cloud itself writes."""
        return (self.state, self.cache, *((self.persist,) if self.persist is not None else ()))

    @property
    def issuer_folder(self) -> Path:
        """Where the issuer's key is."""
        return self.issuer or self.state


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """The parameters that a template gives to a token issuer (`Metadata.Sluiceway.TokenIssuer`), "" where none."""

    issuer: str = ""
    audience: str = ""
    keys: str = ""
    keys_url: str = ""


def read_issuer(metadata: Mapping[str, Any], declared: Collection[str]) -> TokenIssuer:
    """What a template's metadata says. Raises TemplateError for a parameter that is not among those `declared`."""
    named = _read_named(metadata, "TokenIssuer", ("Issuer", "Audience", "Keys", "KeysUrl"), declared=declared)
    return TokenIssuer(*(named.get(key, "") for key in ("Issuer", "Audience", "Keys", "KeysUrl")))


@dataclass(frozen=True, slots=True)
class PairParameters:
    """The parameters of a pair of Regions (`Metadata.Sluiceway.Regions`), "" where none.

    `other_url` takes the address of the other Region's API, `name` has the name below which each Region has its own.
    """

    other_url: str = ""
    name: str = ""


def read_pair(metadata: Mapping[str, Any], declared: Collection[str]) -> PairParameters:
    """What a template's metadata says of a pair. Raises TemplateError for a parameter that is not `declared`."""
    named = _read_named(metadata, "Regions", ("OtherUrl", "Name"), declared=declared)
    return PairParameters(named.get("OtherUrl", ""), named.get("Name", ""))


def read_console(metadata: Mapping[str, Any], declared: Collection[str]) -> str:
    """The parameter of the console's origin (`Metadata.Sluiceway.Console`), "" for none. Raises TemplateError."""
    return _read_named(metadata, "Console", ("Origin",), declared=declared).get("Origin", "")


def _read_named(
    metadata: Mapping[str, Any], section: str, keys: Collection[str], *, declared: Collection[str]
) -> dict[str, str]:
    own = _mapping(metadata.get("Sluiceway"), "Metadata.Sluiceway")
    named = _mapping(own.get(section), f"Metadata.Sluiceway.{section}")
    for key, parameter in named.items():
        if key not in keys or not isinstance(parameter, str) or parameter not in declared:
            raise TemplateError(f"names no parameter: {key}: {parameter}", where=f"Metadata.Sluiceway.{section}")
    return {key: str(parameter) for key, parameter in named.items()}


def _mapping(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TemplateError("must be a mapping", where=where)
    return cast("dict[str, Any]", value)


def cloud_parameters(
    options: CloudOptions, source: Source, machine: str, *, console: str = "", aws: str = ""
) -> dict[str, str]:
    """Parameters in order of weight: samconfig.toml's, this machine's and the local issuer's, the command line's.

    `machine` is the host's architecture (`x86_64`, `arm64`): a parameter called Architecture follows it, since a build
    for another one cannot run here. `console` is the origin of the console, `aws` the address with the issuer's keys.
    """
    declared = cast("dict[str, Any]", source.body.get("Parameters") or {})
    settings = options.settings or settings_file(options.template.parent)
    values = {**read_settings(settings, environment=options.config_env or DEFAULT_ENVIRONMENT).parameters}
    if "Architecture" in declared:
        values["Architecture"] = machine
    metadata = cast("dict[str, Any]", source.body.get("Metadata") or {})
    named = read_issuer(metadata, declared)
    if named.issuer and named.keys:
        values |= {named.issuer: ISSUER, named.keys: read_key_set(options.issuer_folder)}
    if named.keys_url and aws:
        values[named.keys_url] = keys_url(aws)
    origin = read_console(metadata, declared)
    if origin and console:
        values[origin] = console
    return {
        name: value
        for name, value in (values | dict(options.overrides)).items()
        if name in declared or name in options.overrides
    }
