"""From the setting `--model` to an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from localcloud.models.engine import Engine
from localcloud.models.scripted import ScriptedEngine, read_script

__all__ = ["choose_engine", "kind_of", "renew_engine"]


def kind_of(setting: str) -> str:
    """`scripted`, `embedded` or `openai`, without what may be secret in a setting."""
    return "openai" if setting.startswith(("http://", "https://")) else setting.partition(":")[0]


def choose_engine(setting: str, *, progress: Callable[[str], None], api_key: str = "") -> Engine:
    """The engine of `scripted`, `scripted:FILE`, `embedded` or an OpenAI-compatible URL. Not started yet.

    Raises ValueError with a sentence for people, OSError where a script cannot be read.
    """
    kind, _, script = setting.partition(":")
    if setting.startswith(("http://", "https://")):
        from localcloud.models.openai import OpenAIEngine  # noqa: PLC0415 - one engine is loaded, not three

        return OpenAIEngine(setting, api_key=api_key)
    if kind == "scripted":
        return ScriptedEngine(read_script(Path(script)) if script else None)
    if setting == "embedded":
        from localcloud.models.embedded import EmbeddedEngine  # noqa: PLC0415 - the same

        return EmbeddedEngine(progress=progress)
    raise ValueError(f"no model is called {setting!r}: give scripted, scripted:FILE, embedded, or the URL of a server")


def renew_engine(engine: Engine) -> Engine:
    """The engine as it was before its first prompt: a script counts its calls, other models remember no prompt."""
    return engine.renewed() if isinstance(engine, ScriptedEngine) else engine
