"""S3 on the wire: which IAM action a request needs, and moto for the answer.

Path-style addresses only: the bucket is the first part of the path. Source for actions and resources:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, unquote

from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Permission, WireRequest

__all__ = ["open_s3", "permissions"]

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


def open_s3(delegate: Delegate) -> DelegatedService:
    """The S3 API over the delegate."""
    return DelegatedService("s3", delegate, needs=permissions)


def permissions(request: WireRequest) -> tuple[Permission, ...]:
    """The S3 actions of a path-style request, on the bucket's or object's ARN."""
    bucket, _, key = unquote(request.path.lstrip("/")).partition("/")
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
