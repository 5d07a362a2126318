"""Raw records in one S3 bucket: objects listed by prefix, put, read and deleted.

Owns the two requests that `aws.s3` has not: ListObjectsV2 and DeleteObject. Must not know what is in an object.
Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
"""

from __future__ import annotations

from typing import Final

from sluiceway.aws.s3 import S3, Bucket
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.errors import Retryable
from sluiceway.ports.rollups import RawPage

__all__ = ["S3RawStore"]

LINES: Final = "application/x-ndjson"
_SPACE: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class S3RawStore:
    """Raw objects in one bucket. Raises what `Caller.call` raises."""

    def __init__(self, caller: Caller, bucket: str) -> None:
        self._caller = caller
        self._bucket = Bucket(caller, bucket)

    async def put(self, name: str, body: bytes) -> None:
        """As the port says."""
        await self._bucket.put(name, body, content_type=LINES)

    async def get(self, name: str) -> bytes | None:
        """As the port says."""
        found = await self._bucket.get(name)
        return None if found is None else found.body

    async def names(self, prefix: str, *, after: str = "") -> RawPage:
        """As the port says: S3 lists up to 1,000, in the order of UTF-8."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        if after:
            query["start-after"] = after
        reply = await self._caller.call(S3, "ListObjectsV2", method="GET", path=f"/{self._bucket.name}", query=query)
        return _read_listing(reply.body)

    async def delete(self, name: str) -> None:
        """As the port says."""
        path = f"/{self._bucket.name}/{encode_label(name, greedy=True)}"
        await self._caller.call(S3, "DeleteObject", method="DELETE", path=path)


def _read_listing(body: bytes) -> RawPage:
    from urllib.parse import unquote_plus  # noqa: PLC0415 - listings only: not on the cold path
    from xml.etree import ElementTree as ET  # noqa: PLC0415

    try:
        root = ET.fromstring(body)  # noqa: S314 - S3's own answer over the signed connection
    except ET.ParseError as error:
        raise Retryable("S3's listing is no XML") from error
    names = tuple(unquote_plus(each.text or "") for each in root.iterfind(f"{_SPACE}Contents/{_SPACE}Key"))
    return RawPage(names, root.findtext(f"{_SPACE}IsTruncated") == "true")
