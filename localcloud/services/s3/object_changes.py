"""What a request has done to objects: asked of S3 itself, before and after.

Nothing of S3's rules is repeated here: whether an object is there, and what it is, a HEAD says. An object that was not
there cannot be removed, so no event tells of it.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qs, quote, unquote
from xml.etree import ElementTree as ET

from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.s3.checks import split_path
from localcloud.services.s3.own_requests import Place, make_request

__all__ = ["AskS3", "Change", "Watcher", "may_change"]

AskS3: TypeAlias = Callable[[WireRequest], Awaitable[WireResponse]]
_EMPTY_ETAG: Final = "d41d8cd98f00b204e9800998ecf8427e"  # of a delete marker, which has no bytes
_FORM_KEY: Final = re.compile(rb'name="?key"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n(?P<key>[^\r\n]*)\r\n')
_CHANGES: Final = frozenset({"DELETE", "POST", "PUT"})
_UNTOLD: Final = frozenset({"legal-hold", "restore", "retention", "select", "uploads"})
_IS_MARKER: Final = 405  # what S3 says of a delete marker that is asked for by its version


@dataclass(frozen=True, slots=True)
class Change:
    """One event (`s3:ObjectCreated:Put`) of an object. `etag` without quotes; None and "" where it has none."""

    event: str
    key: str
    size: int | None = None
    etag: str = ""
    version_id: str = ""


@dataclass(frozen=True, slots=True)
class _Named:
    """An object as a request names it."""

    key: str
    version_id: str = ""


@dataclass(slots=True)
class Watcher:
    """One request on a bucket: `foresee` before it is done, `find` after."""

    request: WireRequest
    ask: AskS3
    _there: set[_Named] = field(default_factory=set[_Named])

    async def foresee(self) -> None:
        """Remember which of the objects that are to be removed are there."""
        for named in _removals(self.request):
            if await self._is_there(named):
                self._there.add(named)

    async def find(self, response: WireResponse) -> list[Change]:
        """What an answered request has done."""
        if response.status >= 400:
            return []
        if _removals(self.request):
            return list(self._removed(response))
        event = _event_of(self.request)
        key = self._key()
        if not event or not key:
            return []
        version_id = _version_in(response) or _version_asked(self.request)
        return [await self._look(event, _Named(key, version_id))]

    def _key(self) -> str:
        key = split_path(self.request.path)[1]
        if key:
            return key
        found = _FORM_KEY.search(self.request.body)
        return found["key"].decode(errors="replace") if found is not None else ""

    async def _is_there(self, named: _Named) -> bool:
        answer = await self.ask(self._head(named))
        return answer.status < 300 or (bool(named.version_id) and answer.status == _IS_MARKER)

    async def _look(self, event: str, named: _Named) -> Change:
        answer = await self.ask(self._head(named))
        told = _headers(answer)
        size = told.get("content-length", "")
        version_id = named.version_id or _version_in(answer)
        return Change(
            event, named.key, int(size) if size.isdecimal() else None, told.get("etag", "").strip('"'), version_id
        )

    def _head(self, named: _Named) -> WireRequest:
        bucket, _ = split_path(self.request.path)
        query = f"versionId={quote(named.version_id, safe='')}" if named.version_id else ""
        return make_request("HEAD", Place(bucket, named.key, self.request.region), query)

    def _removed(self, response: WireResponse) -> list[Change]:
        _, key = split_path(self.request.path)
        if not key:
            return self._removed_together(response)
        (named,) = _removals(self.request)
        told = _headers(response)
        is_marker = told.get("x-amz-delete-marker", "") == "true"
        return self._tell(named, marker=told.get("x-amz-version-id", "null") if is_marker else "")

    def _removed_together(self, response: WireResponse) -> list[Change]:
        body = response.body if isinstance(response.body, bytes) else b""
        root = ET.fromstring(body)  # noqa: S314 - moto's own answer
        changes: list[Change] = []
        for element in root:
            if _name(element) != "Deleted":
                continue
            told = {_name(each): each.text or "" for each in element}
            named = _Named(told.get("Key", ""), told.get("VersionId", ""))
            changes += self._tell(named, marker=told.get("DeleteMarkerVersionId", ""))
        return changes

    def _tell(self, named: _Named, *, marker: str) -> list[Change]:
        if marker and not named.version_id:
            version_id = "" if marker == "null" else marker
            return [Change("s3:ObjectRemoved:DeleteMarkerCreated", named.key, etag=_EMPTY_ETAG, version_id=version_id)]
        if named not in self._there:
            return []
        return [Change("s3:ObjectRemoved:Delete", named.key, version_id=named.version_id)]


def may_change(request: WireRequest) -> bool:
    """Whether a request could set off an event."""
    return request.method in _CHANGES and bool(_removals(request) or _event_of(request))


def _event_of(request: WireRequest) -> str:
    """The event of a request that removes nothing, "" for none."""
    query, method = _query(request), request.method
    _, key = split_path(request.path)
    if not key:
        return "s3:ObjectCreated:Post" if method == "POST" and not query else ""
    if "tagging" in query:
        return {"PUT": "s3:ObjectTagging:Put", "DELETE": "s3:ObjectTagging:Delete"}.get(method, "")
    if "acl" in query:
        return "s3:ObjectAcl:Put" if method == "PUT" else ""
    if method == "POST":
        return "s3:ObjectCreated:CompleteMultipartUpload" if "uploadId" in query else ""
    if method != "PUT" or "uploadId" in query or _UNTOLD & query.keys():
        return ""
    return "s3:ObjectCreated:Copy" if "x-amz-copy-source" in request.headers else "s3:ObjectCreated:Put"


def _removals(request: WireRequest) -> list[_Named]:
    """What a request removes, in its own words."""
    query = _query(request)
    _, key = split_path(request.path)
    if key:
        is_removal = request.method == "DELETE" and not {"tagging", "uploadId"} & query.keys()
        return [_Named(key, _version_asked(request))] if is_removal else []
    if request.method != "POST" or "delete" not in query:
        return []
    found: list[_Named] = []
    for element in ET.fromstring(request.body):  # noqa: S314 - checks.py has read it: no DTD, a bounded depth
        if _name(element) == "Object":
            told = {_name(each): each.text or "" for each in element}
            found.append(_Named(told.get("Key", ""), told.get("VersionId", "")))
    return found


def _version_asked(request: WireRequest) -> str:
    return unquote(_query(request).get("versionId", [""])[0])


def _version_in(response: WireResponse) -> str:
    """The version that an answer names, "" for none and for that of a bucket without versions."""
    version_id = _headers(response).get("x-amz-version-id", "")
    return "" if version_id == "null" else version_id


def _query(request: WireRequest) -> Mapping[str, list[str]]:
    found = parse_qs(request.query, keep_blank_values=True)
    return {name: values for name, values in found.items() if not name.startswith("X-Amz-") and name != "x-id"}


def _headers(response: WireResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
