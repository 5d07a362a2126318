"""S3 on the wire: which IAM action a request needs, and moto for the answer.

Path-style addresses only: the bucket is the first part of the path. Source for actions and resources:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote

from localcloud.delegate import Delegate, DelegatedService, DelegateFailed
from localcloud.refusals import refuse
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.s3.checks import blame, find_fault, split_path, tidy

if TYPE_CHECKING:
    from localcloud.services.s3.notifications import Notifications

__all__ = ["S3Service", "open_s3", "permissions"]

_LOG: Final = logging.getLogger(__name__)
_OBJECT: Final = {
    "DELETE": "DeleteObject",
    "GET": "GetObject",
    "HEAD": "GetObject",
    "PUT": "PutObject",
    "POST": "PutObject",
}
_BUCKET: Final = {"DELETE": "DeleteBucket", "GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket"}
_SUBRESOURCES: Final = {  # name in the query -> the middle of the action's name, for an object and for a bucket
    "accelerate": ("", "AccelerateConfiguration"),
    "acl": ("ObjectAcl", "BucketAcl"),
    "cors": ("", "BucketCORS"),
    "encryption": ("", "EncryptionConfiguration"),
    "lifecycle": ("", "LifecycleConfiguration"),
    "location": ("", "BucketLocation"),
    "notification": ("", "BucketNotification"),
    "object-lock": ("", "BucketObjectLockConfiguration"),
    "policy": ("", "BucketPolicy"),
    "publicAccessBlock": ("", "BucketPublicAccessBlock"),
    "tagging": ("ObjectTagging", "BucketTagging"),
    "versioning": ("", "BucketVersioning"),
    "website": ("", "BucketWebsite"),
}
_VERBS: Final = {"DELETE": "Delete", "GET": "Get", "HEAD": "Get", "POST": "Put", "PUT": "Put"}


MayList = Callable[[str, str], bool]


class S3Service(DelegatedService):
    """The S3 API over the delegate. `may_list` says whether an access key may list a bucket, by its ARN."""

    def __init__(self, delegate: Delegate, *, may_list: MayList) -> None:
        super().__init__("s3", delegate, needs=permissions)
        self._may_list = may_list
        self.load_notifications: Callable[[], Notifications] | None = None
        """Opens what tells of objects, with the first bucket that is to tell; moto never does."""
        self._notifications: Notifications | None = None

    @property
    def notifications(self) -> Notifications:
        """What buckets tell, opened now where it was not yet. Raises LookupError where there is nobody to tell."""
        if self._notifications is None:
            if self.load_notifications is None:
                raise LookupError("buckets here send no events")
            self._notifications = self.load_notifications()
        return self._notifications

    async def handle(self, request: WireRequest) -> WireResponse:
        """Refuse what S3 refuses, let moto answer the rest.

        A missing object is hidden from who may not list its bucket, as S3 hides it.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html (permissions)
        """
        fault = find_fault(request)
        if fault is not None:
            return refuse(request, fault.status, code=fault.code, message=fault.message)
        response = await self._carry(tidy(request))
        bucket, key = split_path(request.path)
        reads_object = bool(key) and request.method in ("GET", "HEAD")
        if response.status != 404 or not reads_object or self._may_list(request.access_key, f"arn:aws:s3:::{bucket}"):
            return response
        if isinstance(response.body, bytes) and b"NoSuchBucket" in response.body:
            return response
        return refuse(request, 403, code="AccessDenied", message="Access Denied")

    async def _carry(self, request: WireRequest) -> WireResponse:
        """The answer, after which whoever is to know of it is told."""
        if "notification" in request.query and _asks_for_notifications(request):
            if self.load_notifications is None:
                message = "This local cloud's buckets send no events."
                return refuse(request, 501, code="NotImplemented", message=message)
            return await self.notifications.answer(request, self._ask)
        known = self._notifications
        if known is not None and known.hears(request):
            return await known.carry(request, self._ask)
        return await self._ask(request)

    async def _ask(self, request: WireRequest) -> WireResponse:
        """moto's answer, or S3's refusal of what moto could not read."""
        try:
            return await super().handle(request)
        except DelegateFailed as failure:
            if failure.request is not request:  # the keeper's own: the request is not at fault
                raise
            fault = blame(request, failure.error)
            _LOG.warning("s3.delegate_failed method=%s code=%s error=%s", request.method, fault.code, failure)
            return refuse(request, fault.status, code=fault.code, message=fault.message)


def open_s3(delegate: Delegate, *, may_list: MayList = lambda _key, _bucket_arn: True) -> S3Service:
    """The S3 API over the delegate."""
    return S3Service(delegate, may_list=may_list)


def _asks_for_notifications(request: WireRequest) -> bool:
    """Whether a request is on a bucket's configuration of notifications."""
    bucket, key = split_path(request.path)
    return bool(bucket) and not key and "notification" in parse_qs(request.query, keep_blank_values=True)


def permissions(request: WireRequest) -> tuple[Permission, ...]:
    """The S3 actions of a path-style request, on the bucket's or object's ARN."""
    bucket, key = split_path(request.path)
    query = parse_qs(request.query, keep_blank_values=True)
    if not bucket:
        return (Permission("s3:ListAllMyBuckets", "*"),)
    if not key:
        return (_bucket_permission(request.method, bucket, query),)
    needed = [Permission(_object_action(request.method, query), f"arn:aws:s3:::{bucket}/{key}")]
    source = unquote(request.headers.get("x-amz-copy-source", "")).lstrip("/").partition("?")[0]
    if source:
        needed.append(Permission("s3:GetObject", f"arn:aws:s3:::{source}"))
    return tuple(needed)


def _object_action(method: str, query: dict[str, list[str]]) -> str:
    for name, (middle, _) in _SUBRESOURCES.items():
        if name in query and middle:
            return f"s3:{_VERBS.get(method, 'Get')}{middle}"
    if "uploadId" in query and method in ("DELETE", "GET"):
        return "s3:AbortMultipartUpload" if method == "DELETE" else "s3:ListMultipartUploadParts"
    version = "Version" if "versionId" in query and method in ("DELETE", "GET", "HEAD") else ""
    return f"s3:{_OBJECT.get(method, 'GetObject')}{version}"


def _bucket_permission(method: str, bucket: str, query: dict[str, list[str]]) -> Permission:
    arn = f"arn:aws:s3:::{bucket}"
    if "delete" in query and method == "POST":
        return Permission("s3:DeleteObject", f"{arn}/*")
    for name, (_, middle) in _SUBRESOURCES.items():
        if name in query:
            return Permission(f"s3:{_VERBS.get(method, 'Get')}{middle}", arn)
    if "uploads" in query:
        return Permission("s3:ListBucketMultipartUploads", arn)
    if "versions" in query:
        return Permission("s3:ListBucketVersions", arn)
    return Permission(f"s3:{_BUCKET.get(method, 'ListBucket')}", arn)
