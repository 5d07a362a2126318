"""Which requests come from a web page of another site, and must not be answered: the ports are for this machine only.

A page that a developer visits can send requests to 127.0.0.1 too, with credentials in the query string, since
signatures are not verified here; and under a name of its own that leads to 127.0.0.1 it could read the answers. Command
line tools and SDKs send none of the headers that tell so. Pure.
Sources: https://www.rfc-editor.org/rfc/rfc6454#section-7 and https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

__all__ = ["is_from_elsewhere", "is_from_page"]

_HOST: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]*)?|([^:\[\]]*)(?::[0-9]*)?")
_OURS: Final = (".localhost", ".amazonaws.com", ".amazonaws.com.cn", ".internal")
"""Names that nobody can point here: `host.docker.internal` is how a container reaches its host."""

_OF_BROWSERS: Final = ("origin", "referer", "sec-fetch-site")


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this for another site, or under a host name of another. `headers`: lower-case names."""
    if not _is_known_name(headers.get("host", "")):
        return True
    sender = headers.get("origin") or headers.get("referer")
    if sender is not None:
        return not _is_local_page(sender)
    return headers.get("sec-fetch-site") == "cross-site"


def is_from_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this, or anybody under the host name of another site: for ports that no page needs."""
    return is_from_elsewhere(headers) or not headers.keys().isdisjoint(_OF_BROWSERS)


def _is_known_name(host: str) -> bool:
    """An address is what was dialled, so it cannot lie; a name of one label is never in the public DNS."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2]).lower().rstrip(".")
    return "." not in name or name.endswith(_OURS) or _is_address(name)


def _is_local_page(address: str) -> bool:
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or host.endswith(".localhost") or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
