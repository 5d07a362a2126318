"""An address for each Region's own API, known before any Region starts: what one Region is told of the other.

A Region's probe asks for the other's health by a name (`us-west-2.api.example.com`). Here that name has a listener from
the beginning on, and the parameter that a template names for it (`Metadata.Sluiceway.Regions`) has its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

from localcloud.options import CloudOptions, read_pair
from localcloud.regions.names import NameFront
from localcloud.services.route53.answers import Resolver
from localcloud.template.source import DEFAULT_ENVIRONMENT, read_settings, read_template, settings_file

__all__ = ["Doors", "open_doors"]


@dataclass(frozen=True, slots=True)
class Doors:
    """`urls` by name. `parameters` are what each Region's stack is told, by Region; nothing where none is asked for."""

    urls: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, str]]


async def open_doors(
    cloud: CloudOptions, environments: Mapping[str, str], resolver: Resolver, *, cleanup: AsyncExitStack
) -> Doors:
    """Listen for each Region of a pair, until `cleanup` is run. Raises TemplateError."""
    source = read_template(cloud.template)
    declared = cast("dict[str, Any]", source.body.get("Parameters") or {})
    pair = read_pair(cast("dict[str, Any]", source.body.get("Metadata") or {}), declared)
    if not pair.other_url or not pair.name or len(environments) != 2:
        return Doors({}, {})
    urls: dict[str, str] = {}
    by_region: dict[str, str] = {}
    for region, environment in environments.items():
        domain = _value(cloud, pair.name, environment, declared=declared)
        if domain:
            front = NameFront(f"{region}.{domain}.", resolver)
            await front.open()
            cleanup.push_async_callback(front.close)
            urls[f"{region}.{domain}"] = by_region[region] = front.url
    first, second = environments
    others = {first: by_region.get(second, ""), second: by_region.get(first, "")}
    return Doors(urls, {region: {pair.other_url: url} for region, url in others.items() if url})


def _value(cloud: CloudOptions, parameter: str, environment: str, *, declared: Mapping[str, Any]) -> str:
    """A parameter's value in one Region: as the command line, samconfig.toml or its default say."""
    given = dict(cloud.overrides)
    if parameter not in given:
        file = cloud.settings or settings_file(cloud.template.parent)
        settings = read_settings(file, environment=environment or DEFAULT_ENVIRONMENT)
        given = {**settings.parameters}
    return given.get(parameter, str(declared[parameter].get("Default", "")))
