"""What an HTTP API answers itself: a status and its message, of which there is one each.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from localcloud.gateway.message import HttpResponse

__all__ = ["MESSAGES", "ApiError", "error_response"]

MESSAGES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ApiError(Exception):
    """A request that the API answers itself; `status` is one of MESSAGES, `reason` goes to the log only."""

    def __init__(self, status: int, reason: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers


def error_response(status: int, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
    """The answer with this status."""
    body = json.dumps({"message": MESSAGES[status]}, separators=(",", ":")).encode()
    return HttpResponse(status, (("Content-Type", "application/json"), *headers), body)
