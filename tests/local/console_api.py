"""Requests to a running cloud's console, as a command line tool makes them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tests.local.conftest import RunningCloud


def ask(cloud: RunningCloud, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """One request: status and JSON."""
    url = f"{cloud.status['endpoints']['console']}/{path}"
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def reader_of(cloud: RunningCloud, function: str) -> dict[str, Any]:
    """The mapping of a function, as the console tells it."""
    readers = ask(cloud, "GET", "api/streams")[1]["readers"]
    return next(each for each in readers if each["function"] == function)
