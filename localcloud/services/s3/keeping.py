"""Keeping S3 beyond the process: which requests change what, asking moto what became of it, and giving it back.

Owns the rule that an object is kept as a GET shows it, after every request that may have changed it, so moto's own
rules are never repeated here. Of a versioned bucket only the newest version is kept, uploads in parts when they are
complete; access control lists, holds and retention are not kept. Runs in the delegate's worker thread.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree as ET

from localcloud.delegate import Ask
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.s3.checks import split_path
from localcloud.services.s3.own_requests import SIGNED, Place, make_request
from localcloud.services.s3.store import KeptObject, KeptSetting, Store

__all__ = ["S3Keeper"]

_LOG: Final = logging.getLogger(__name__)
_CHANGES: Final = ("DELETE", "POST", "PUT")
_SHOWN: Final = (  # headers of a GetObject that a PutObject takes; API_PutObject
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-checksum-",
    "x-amz-meta-",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
_SENT: Final = ("content-type", "content-md5", "x-amz-")  # headers of a request on a bucket that count
_NOT_KEPT: Final = ("acl", "legal-hold", "retention")


class S3Keeper:
    """A `Keeper` for S3 over `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def restore(self, ask: Ask) -> None:
        """Make the kept buckets that are not there, and every kept object."""
        known: dict[str, bool] = {}
        for setting in self._store.settings():
            if setting.bucket not in known:
                there = ask(make_request("HEAD", Place(setting.bucket, "", setting.region)))
                known[setting.bucket] = there.status < 300
            if not known[setting.bucket]:  # one that the template made is what the template says
                request = make_request("PUT", Place(setting.bucket, "", setting.region))
                _check(replace(request, query=setting.query, body=setting.body, headers=_sized(setting)), ask)
        for kept, body in self._store.objects():
            _restore_object(kept, body, ask)

    def hear(self, request: WireRequest, response: WireResponse, ask: Ask) -> None:
        """Keep what an answered request has changed."""
        if request.method not in _CHANGES or response.status >= 300:
            return
        bucket, key = split_path(request.path)
        query = parse_qs(request.query, keep_blank_values=True)
        if key:
            self._hear_object(Place(bucket, key, request.region), request.method, query, ask=ask)
        elif request.method != "POST":
            self._hear_bucket(request, bucket)
        elif "delete" in query:
            for each in _keys_in(request):
                self._capture(Place(bucket, each, request.region), ask)
        else:
            _LOG.warning("s3.not_kept what=form-upload bucket=%s", bucket)

    def _hear_object(self, place: Place, method: str, query: Mapping[str, list[str]], *, ask: Ask) -> None:
        if "uploads" in query or ("uploadId" in query and method != "POST"):
            return  # of an upload in parts that is not complete
        for name in _NOT_KEPT:
            if name in query:
                _LOG.warning("s3.not_kept what=%s bucket=%s key=%s", name, place.bucket, place.key)
        self._capture(place, ask)

    def _hear_bucket(self, request: WireRequest, bucket: str) -> None:
        if request.method == "PUT":
            headers = {name: value for name, value in request.headers.items() if name.startswith(_SENT)}
            self._store.keep_setting(KeptSetting(bucket, request.query, request.region, headers, request.body))
        elif request.query:
            self._store.drop_setting(bucket, request.query)
        else:
            self._store.drop_bucket(bucket)

    def _capture(self, place: Place, ask: Ask) -> None:
        """Keep the object as it is now, or forget it where it is not there any more."""
        request = make_request("GET", place)
        shown = ask(replace(request, headers={**request.headers, "x-amz-checksum-mode": "ENABLED"}))
        if shown.status >= 300 or not isinstance(shown.body, bytes):
            if shown.status != 404:
                _LOG.warning("s3.not_kept what=object bucket=%s key=%s", place.bucket, place.key)
            self._store.drop_object(place.bucket, place.key)
            return
        told = {name.lower(): value for name, value in shown.headers.items()}
        headers = {name: value for name, value in told.items() if name.startswith(_SHOWN)}
        tags = _tags_in(ask(replace(request, query="tagging")))
        if tags:
            headers["x-amz-tagging"] = urlencode(tags)
        identity = (told.get("etag", ""), told.get("last-modified", ""), told.get("x-amz-version-id", ""))
        self._store.keep_object(KeptObject(*place, headers, *identity), shown.body)


def _keys_in(request: WireRequest) -> list[str]:
    """The keys of a DeleteObjects request."""
    return _texts(ET.fromstring(request.body), "Key")  # noqa: S314 - moto has read and obeyed the same text before


def _tags_in(response: WireResponse) -> list[tuple[str, str]]:
    if response.status >= 300 or not isinstance(response.body, bytes):
        return []
    root = ET.fromstring(response.body)  # noqa: S314 - moto's own answer
    return list(zip(_texts(root, "Key"), _texts(root, "Value"), strict=True))


def _texts(root: ET.Element, name: str) -> list[str]:
    return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _restore_object(kept: KeptObject, body: bytes, ask: Ask) -> None:
    request = make_request("PUT", Place(kept.bucket, kept.key, kept.region))
    headers = {**request.headers, **kept.headers, "content-length": str(len(body))}
    if _check(replace(request, headers=headers, body=body), ask):
        from localcloud.services.s3.identity import restore_identity  # noqa: PLC0415 - moto is loaded by now, not before

        restore_identity(kept)


def _check(request: WireRequest, ask: Ask) -> bool:
    response = ask(request)
    if response.status >= 300:
        _LOG.error("s3.restore_failed path=%s query=%s body=%s", request.path, request.query, response.body)
    return response.status < 300


def _sized(setting: KeptSetting) -> dict[str, str]:
    return {"host": "s3", "authorization": SIGNED, **setting.headers, "content-length": str(len(setting.body))}
