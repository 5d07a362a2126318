"""Answer addresses: pre-signed URLs to which somebody PUTs a document, once, while it is waited for.

On AWS they lead to a bucket of CloudFormation's own; here to the AWS port, at paths that begin with
`/_sluiceway/answers/`, and S3's own answers are given: 200 with an ETag, 403 for a signature that is none. Any content
type is taken, as by a URL that signs the host alone. Functions answer by TLS, as some clients do whatever an address
says; others, who do not trust the certificate, by plain HTTP. Must not know what is in a document.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from aiohttp import web

from localcloud.http_server import read_body
from localcloud.uuids import new_uuid

__all__ = ["ANSWERS_PATH", "AnswerDesk", "Awaited"]

ANSWERS_PATH: Final = "/_sluiceway/answers/"
MAX_DOCUMENT_BYTES: Final = 1024 * 1024  # ours: it is read whole; what CloudFormation takes of it is 4 KB
EXPIRES_S: Final = 7200  # of the address; the longest wait is an hour
_ERROR: Final = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'


@dataclass(frozen=True, slots=True)
class Awaited:
    """One address and what will have been put there."""

    url: str
    document: asyncio.Future[bytes]


class AnswerDesk:
    """The open addresses. `endpoint` gives the AWS port's root URL, for whom it is told: by TLS, or not."""

    def __init__(self, endpoint: Callable[[bool], str], rng: random.Random) -> None:
        self._endpoint = endpoint
        self._rng = rng
        self._open: dict[str, asyncio.Future[bytes]] = {}

    def new_id(self) -> str:
        """A request's id."""
        return new_uuid(self._rng)

    @contextmanager
    def await_answer(self, name: str, *, secure: bool) -> Generator[Awaited]:
        """An address for the length of the block; `name` is what people read in it (`stack/Logical`)."""
        signature = f"{self._rng.getrandbits(256):064x}"
        query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host&X-Amz-Expires={EXPIRES_S}"
        path = f"{ANSWERS_PATH}{quote(name)}"
        document: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[signature] = document
        try:
            yield Awaited(f"{self._endpoint(secure)}{path}?{query}&X-Amz-Signature={signature}", document)
        finally:
            del self._open[signature]
            document.cancel()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take what is put, the first time; later ones are answered alike and change nothing."""
        document = self._open.get(request.query.get("X-Amz-Signature", ""))
        if document is None or request.method != "PUT":
            code = "SignatureDoesNotMatch" if request.method != "PUT" else "AccessDenied"
            said = "This address takes one PUT, while it is waited for."
            return web.Response(status=403, text=_ERROR.format(code, said), content_type="application/xml")
        body = await read_body(request, MAX_DOCUMENT_BYTES)
        if body is None:
            said = "Your proposed upload exceeds the maximum allowed size"
            return web.Response(status=400, text=_ERROR.format("EntityTooLarge", said), content_type="application/xml")
        if not document.done():
            document.set_result(body)
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()  # S3's ETag of an object
        return web.Response(headers={"ETag": f'"{digest}"', "x-amz-request-id": self.new_id()})
