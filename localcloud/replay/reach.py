"""Which cloud a replay talks to, and what its words mean there.

`--endpoint-url` first, then the endpoint settings of the AWS SDKs, then the local cloud that runs from the state
folder, which settings may name as well. AWS itself is meant only where `--aws` says so: a local cloud that was
forgotten is no reason to replay there.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.caller import Unreachable
from localcloud.state import NotRunning, RunningState, read_state
from sluiceway import settings
from sluiceway.errors import Misconfigured

__all__ = ["Reach", "find_reach"]

LOCAL_KEYS: Final = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": ""}
_URL: Final = "AWS_ENDPOINT_URL"
_IGNORED: Final = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"


@dataclass(frozen=True, slots=True)
class Reach:
    """Settings for a `Wire`; `place` says for people, and for a resume file, where they lead."""

    environ: Mapping[str, str]
    place: str
    state: RunningState | None = None

    def resolve(self, name: str) -> str:
        """The value of an output of the local cloud's stack, for its name in any case; else `name` as it is."""
        outputs = self.state.outputs if self.state is not None else {}
        alike = [value for each, value in outputs.items() if each.lower() == name.lower()]
        return outputs.get(name) or (alike[0] if len(alike) == 1 else name)

    def find_function(self, name: str) -> str:
        """The function's name for a logical id of the local cloud's stack; else `name` as it is."""
        try:
            return self.state.find_function(name) if self.state is not None else name
        except Unreachable:
            return name


def find_reach(options: argparse.Namespace) -> Reach:
    """The cloud that is meant. Raises NotRunning, Misconfigured."""
    environ = {name: value for name, value in settings.environ().items() if value}
    if options.region:
        environ["AWS_REGION"] = options.region
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if options.aws and options.endpoint_url:
        raise Misconfigured("--aws and --endpoint-url are two places", what="--aws")
    if options.aws:
        bare = {name: value for name, value in environ.items() if not name.startswith(_URL)}
        return Reach(bare, f"AWS {region}")
    state = _find_state(options)
    if options.endpoint_url:
        named = {name: value for name, value in environ.items() if not name.startswith(_URL) and name != _IGNORED}
        is_own = state is not None and state.endpoints.get("aws") == options.endpoint_url.rstrip("/")
        return Reach(named | {_URL: options.endpoint_url}, options.endpoint_url, state if is_own else None)
    if _names_another(environ, state) and environ.get(_IGNORED, "").lower() != "true":
        return Reach(environ, f"{environ.get(_URL, 'the services that AWS_ENDPOINT_URL_* name')} {region}".strip())
    if state is None:
        raise NotRunning("no local cloud runs from this folder; start one with `sluiceway up`, or say --aws")
    own = {_URL: state.endpoints["aws"], "AWS_REGION": options.region or state.region, **LOCAL_KEYS}
    return Reach({name: value for name, value in environ.items() if name != _IGNORED} | own, "the local cloud", state)


def _names_another(environ: Mapping[str, str], state: RunningState | None) -> bool:
    """Whether an endpoint setting leads elsewhere than to the local cloud of `state`."""
    own = None if state is None else state.endpoints.get("aws")
    return any(value.rstrip("/") != own for name, value in environ.items() if name.startswith(_URL))


def _find_state(options: argparse.Namespace) -> RunningState | None:
    try:
        return read_state(options.state)
    except NotRunning:
        return None
