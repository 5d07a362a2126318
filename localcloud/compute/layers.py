"""The layers of a Region: their versions, and the folder of each, which is what Lambda would unpack into /opt.

Knows no template and no wire. Source: https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["LayerVersion", "Layers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVersion:
    """One version. `arn` is the layer's, without the version; `made_s` epoch seconds."""

    name: str
    arn: str
    version: int
    folder: Path
    description: str = ""
    license_info: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    made_s: float = 0.0

    @property
    def version_arn(self) -> str:
        """The ARN that functions name."""
        return f"{self.arn}:{self.version}"


class Layers:
    """Every layer version, by its ARN."""

    def __init__(self) -> None:
        self._versions: dict[str, LayerVersion] = {}
        self._last: dict[str, int] = {}

    def next_version(self, name: str) -> int:
        """The number of the next version of a layer; no number comes twice."""
        self._last[name] = self._last.get(name, 0) + 1
        return self._last[name]

    def add(self, version: LayerVersion) -> None:
        """Keep a version."""
        self._versions[version.version_arn] = version

    def remove(self, version_arn: str) -> None:
        """Forget a version, if it is there."""
        self._versions.pop(version_arn, None)

    def get(self, version_arn: str) -> LayerVersion | None:
        """The version with this ARN."""
        return self._versions.get(version_arn)

    def of(self, name_or_arn: str) -> tuple[LayerVersion, ...]:
        """The versions of a layer, the newest first."""
        found = [each for each in self._versions.values() if name_or_arn in {each.name, each.arn}]
        return tuple(sorted(found, key=lambda each: -each.version))

    def newest(self) -> tuple[LayerVersion, ...]:
        """The newest version of every layer, by name."""
        names = sorted({each.name for each in self._versions.values()})
        return tuple(self.of(name)[0] for name in names)
