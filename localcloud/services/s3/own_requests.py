"""Requests of the local cloud's own to S3: what became of an object or a bucket. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

from localcloud.services.contract import WireRequest

__all__ = ["SIGNED", "Place", "make_request"]

SIGNED: Final = "AWS4-HMAC-SHA256 Credential=local/20260101/local/s3/aws4_request, SignedHeaders=host, Signature=0"


class Place(NamedTuple):
    """An object's, or with `key` "" a bucket's."""

    bucket: str
    key: str
    region: str


def make_request(method: str, place: Place, query: str = "") -> WireRequest:
    """A request without a body."""
    return WireRequest(
        service="s3",
        region=place.region,
        method=method,
        path=f"/{place.bucket}/{quote(place.key)}" if place.key else f"/{place.bucket}",
        query=query,
        headers={"host": "s3", "content-length": "0", "authorization": SIGNED},
        body=b"",
        access_key="local",
        request_id="keeper",
    )
