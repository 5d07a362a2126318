"""What the HTTP fronts log of requests that no handler saw.

The HTTP library logs a request that it cannot parse together with the offending line, which may be a bearer token or a
prompt. Here such a record says where it came from and nothing else, and a client that went away is no error.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["SERVER_LOG"]


class _WithoutContent(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Cut a record about a malformed request to its constant part; drop one about a client that is gone."""
        failure = record.exc_info[1] if record.exc_info else None
        if isinstance(failure, ConnectionError):
            return False
        if isinstance(failure, HttpProcessingError):
            record.msg, record.args = "http.malformed_request status=%s", (failure.code,)
            record.exc_info, record.exc_text = None, None
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


SERVER_LOG: Final = logging.getLogger(__name__)
"""For `aiohttp.web.Server(..., logger=SERVER_LOG)`."""
SERVER_LOG.addFilter(_WithoutContent())
