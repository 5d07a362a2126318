"""S3 objects: put one, get one.

Owns the two requests, path-style (`/bucket/key`), which every Region and every local endpoint answers. Must not know
what the bytes mean. Buckets, listings and multipart uploads are the long tail (`aws/sdk.py`). Source:
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.errors import Rejected, ServiceRefused

__all__ = ["S3", "Bucket", "StoredObject"]

S3: Final = ServiceSpec(endpoint_prefix="s3", signing_name="s3", protocol="rest", env_name="S3")
MAX_KEY_BYTES: Final = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as read. `etag` is as sent, in its quotes."""

    body: bytes
    content_type: str
    etag: str


class Bucket:
    """One bucket's objects. Holds no connection: those are the `Caller`'s."""

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self.name = name

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        deadline: float | None = None,
    ) -> str:
        """Store `body` (at most 5 GB) under `key`, replacing what was there; returns the ETag."""
        headers: Mapping[str, str] = {"content-type": content_type}
        reply = await self._caller.call(
            S3, "PutObject", body, method="PUT", path=self._path(key), headers=headers, deadline=deadline
        )
        return reply.headers.get("etag", "")

    async def get(self, key: str, *, deadline: float | None = None) -> StoredObject | None:
        """The object under `key`, or None where there is none.

        S3 answers AccessDenied for a missing key when the role may not list the bucket: that is raised, not hidden.
        """
        try:
            reply = await self._caller.call(S3, "GetObject", method="GET", path=self._path(key), deadline=deadline)
        except ServiceRefused as error:
            if error.code == "NoSuchKey":
                return None
            raise
        headers = reply.headers
        return StoredObject(reply.body, headers.get("content-type", ""), headers.get("etag", ""))

    def _path(self, key: str) -> str:
        if not key or len(key.encode()) > MAX_KEY_BYTES:
            raise Rejected(f"an object key has 1 to {MAX_KEY_BYTES} bytes", reason="invalid-key", field="key")
        return f"/{self.name}/{encode_label(key, greedy=True)}"
