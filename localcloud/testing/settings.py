"""What a test run may decide about its local cloud, and how that becomes the options of a start.

One cloud serves all tests of a session with equal settings.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcloud.options import CloudOptions

__all__ = ["STACK_NAME", "Settings", "cloud_options"]

STACK_NAME: Final = "sluiceway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`template` is absolute; `parameters` and `allow` are sorted, so that equal settings are equal."""

    template: Path
    parameters: tuple[tuple[str, str], ...] = ()
    allow: tuple[str, ...] = ()
    model: str = "scripted"
    region: str = "us-east-1"
    config_env: str = ""
    seed: int = 0


def cloud_options(settings: Settings, state: Path, environ: Mapping[str, str], *, port: int) -> CloudOptions:
    """One start on ports from `port` on (0: free ones); `state` is the session's folder for these settings.

    What is built is kept where `sluiceway up` keeps it.
    """
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or state.parent) / ".cache") / "sluiceway"
    return CloudOptions(
        template=settings.template,
        state=state,
        cache=cache,
        environ=environ,
        progress=_tell,
        config_env=settings.config_env or None,
        overrides=dict(settings.parameters),
        region=settings.region,
        stack_name=STACK_NAME,
        port=port,
        allow=settings.allow,
        model=settings.model,
    )


def _tell(sentence: str) -> None:
    """pytest captures it, and shows it where a test fails."""
    sys.stderr.write(f"sluiceway: {sentence}\n")
