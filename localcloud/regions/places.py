"""Where names of API Gateway's answer on this machine: the HTTP port of the Region that stands in the name.

A listener that stands in for a Region's gateway, such as a name's own front, knows it by this alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from localcloud.services.route53.answers import API_NAME, Place

__all__ = ["RegionPlaces", "gateway_of"]

_OTHERS: Final = ("aws", "console")


class RegionPlaces:
    """Places by Region. `find` gives a Region's gateway, None where there is none, or not yet."""

    def __init__(self, find: Callable[[str], Place | None]) -> None:
        self._find = find

    def address_of(self, hostname: str) -> Place | None:
        """Host and port for `<id>.execute-api.<region>.amazonaws.com`; None for any other name."""
        found = API_NAME.fullmatch(hostname.lower())
        return self._find(found[2]) if found is not None else None


def gateway_of(endpoints: Mapping[str, str]) -> Place | None:
    """The HTTP gateway's place, as the addresses of a running cloud tell it: every API is at it, under a path."""
    others = {urlsplit(endpoints[name]).port for name in _OTHERS if name in endpoints}
    for address in endpoints.values():
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.path and parts.hostname and parts.port and parts.port not in others:
            return parts.hostname, parts.port
    return None
