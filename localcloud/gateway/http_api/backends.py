"""What an HTTP API leads to. Apart from the stage, which is imported with the first one that there is."""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.bearer_tokens import IssuerTokens
from localcloud.gateway.rest import Backends

__all__ = ["HttpBackends"]


@dataclass(frozen=True, slots=True)
class HttpBackends:
    """What an HTTP API leads to, and whose tokens it takes."""

    to: Backends
    tokens: IssuerTokens
