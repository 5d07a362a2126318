"""The files of the console's page, and the headers that every answer of the console has.

Read at each request, so that an edit shows at the next reload. Nothing outside the folder is ever given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["PAGE", "read_file", "security_headers"]

PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
MAX_PATH_CHARS: Final = 200  # a file's name may have 255 bytes
_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*")


def read_file(path: str, folder: Path = PAGE) -> tuple[bytes, str] | None:
    """The file at an address, with its content type; `/` is index.html. None where there is none."""
    if path == "/":
        path = "/index.html"
    content_type = _TYPES.get(Path(path).suffix)
    if content_type is None or len(path) > MAX_PATH_CHARS or not _PATH.fullmatch(path):
        return None
    file = (folder / path[1:]).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        return None
    return file.read_bytes(), content_type


def security_headers(endpoints: Mapping[str, str]) -> dict[str, str]:
    """What a browser may do with an answer: scripts and styles of its own only, and calls to these endpoints."""
    origins = sorted({f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, endpoints.values())})
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "manifest-src": "'self'",
        "worker-src": "'self'",
        "connect-src": " ".join(["'self'", *origins]),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
