"""Custom domain names of REST and HTTP APIs: which API and stage a name and the beginning of a path lead to.

Pure. Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-custom-domains.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["DomainName", "Domains", "Mapped"]


class Mapped(NamedTuple):
    """Where a request goes: `stage` of the API, and `path` below it. `base` is what the mapping took, "" or "/v1"."""

    api_id: str
    stage: str
    base: str
    path: str


@dataclass(slots=True)
class DomainName:
    """One name. `mappings`: (API id, stage) by base path, "" for none; a stage of "" is the path's next part.

    A base path may have several parts; the longest that a path begins with counts.
    """

    name: str
    mappings: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])


class Domains:
    """The custom domain names of a gateway, in lower case."""

    def __init__(self) -> None:
        self._names: dict[str, DomainName] = {}

    @property
    def names(self) -> Mapping[str, DomainName]:
        """Every name."""
        return self._names

    def add(self, name: str) -> DomainName:
        """Know a name. Raises ValueError where it is known."""
        key = name.lower()
        if key in self._names:
            raise ValueError(f"the domain name {name} exists already")
        self._names[key] = DomainName(key)
        return self._names[key]

    def remove(self, name: str) -> None:
        """Forget a name and its mappings."""
        self._names.pop(name.lower(), None)

    def has(self, host: str) -> bool:
        """Whether a Host header names one of them; a port does not count."""
        return _without_port(host) in self._names

    def find(self, host: str, path: str) -> Mapped | None:
        """Where a request under `host` goes, None where no mapping takes it. `path` is encoded and absolute."""
        domain = self._names.get(_without_port(host))
        if domain is None:
            return None
        base, left = _find_base(domain.mappings, path)
        if base not in domain.mappings:
            return None
        api_id, stage = domain.mappings[base]
        if not stage:
            stage, left = _split(left)
        return Mapped(api_id, stage, f"/{base}" if base else "", left)


def _find_base(bases: Collection[str], path: str) -> tuple[str, str]:
    """The longest base path that `path` begins with, "" for none, and the absolute path behind it."""
    parts = path.removeprefix("/").split("/")
    deepest = max((base.count("/") + 1 for base in bases), default=0)
    for count in range(min(deepest, len(parts)), 0, -1):
        base = "/".join(parts[:count])
        if base and base in bases:
            return base, "/" + "/".join(parts[count:])
    return "", path


def _split(path: str) -> tuple[str, str]:
    """The first part of an absolute path, and the absolute path behind it."""
    first, _, rest = path.removeprefix("/").partition("/")
    return first, f"/{rest}"


def _without_port(host: str) -> str:
    return host.lower().partition(":")[0]
