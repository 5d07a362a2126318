"""What S3 refuses before it looks at a bucket: wrong subresources, numbers, documents and headers.

moto reads requests on trust: it raises where S3 refuses, and takes a subresource that it does not know for a plain
request, so that `DELETE /bucket?metrics` would delete the bucket. Pure; knows nothing of moto's state. What only moto
can find wrong is `blame`d afterwards.
Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final
from urllib.parse import parse_qs, unquote
from xml.parsers import expat

from localcloud.services.contract import WireRequest
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import parse_document

__all__ = ["Fault", "blame", "find_fault", "split_path", "tidy"]

MAX_XML_DEPTH: Final = 32  # ours; the deepest document of S3, a replication's, has 6 levels
MAX_NUMBER: Final = 2_147_483_647  # in S3's own words: "an integer between 0 and 2147483647"
MAX_PARTS: Final = 10_000  # qfacts: part numbers are 1 to 10,000
MAX_KEY_BYTES: Final = 1024  # object-keys
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT")
_ACLS: Final = frozenset({
    "authenticated-read", "aws-exec-read", "bucket-owner-full-control", "bucket-owner-read", "log-delivery-write",
    "private", "public-read", "public-read-write",
})  # fmt: skip
_GRANTEE: Final = re.compile(r'(?:id|uri|emailAddress)="?[^",]+"?', re.IGNORECASE)
_RANGE: Final = re.compile(r"bytes=(?:[0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15})")
_COPIED: Final = re.compile(r"bytes=[0-9]{1,15}-[0-9]{1,15}")
_DATES: Final = ("if-modified-since", "if-unmodified-since")


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of S3's. The message names what is wrong, and its limit."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Kind:
    """A subresource: the methods served on a bucket and on an object, those that S3 alone has, and its document."""

    bucket: str = ""
    key: str = ""
    missing: str = ""
    root: str = ""
    written_by: str = "PUT"
    instead: str = "-"
    """Prefixes of headers that may stand in for the document; "" where none is needed."""


_ALL: Final = "DELETE GET PUT"
_KINDS: Final[Mapping[str, _Kind]] = {
    "accelerate": _Kind("GET PUT", root="AccelerateConfiguration"),
    "acl": _Kind("GET PUT", "GET PUT", root="AccessControlPolicy", instead="x-amz-acl x-amz-grant-"),
    "analytics": _Kind(missing=_ALL),
    "attributes": _Kind(key="GET"),
    "cors": _Kind(_ALL, root="CORSConfiguration"),
    "delete": _Kind("POST", root="Delete", written_by="POST"),
    "encryption": _Kind(_ALL, root="ServerSideEncryptionConfiguration"),
    "intelligent-tiering": _Kind(missing=_ALL),
    "inventory": _Kind("GET PUT", missing="DELETE", root="InventoryConfiguration"),
    "legal-hold": _Kind(key="GET PUT", root="LegalHold"),
    "lifecycle": _Kind(_ALL, root="LifecycleConfiguration"),
    "location": _Kind("GET"),
    "logging": _Kind("GET PUT", root="BucketLoggingStatus"),
    "metrics": _Kind(missing=_ALL),
    "notification": _Kind("GET PUT", root="NotificationConfiguration"),
    "object-lock": _Kind("GET PUT", root="ObjectLockConfiguration"),
    "ownershipControls": _Kind(_ALL, root="OwnershipControls"),
    "policy": _Kind(_ALL),
    "policyStatus": _Kind("GET"),
    "publicAccessBlock": _Kind(_ALL, root="PublicAccessBlockConfiguration"),
    "replication": _Kind(_ALL, root="ReplicationConfiguration"),
    "requestPayment": _Kind(missing="GET PUT"),
    "restore": _Kind(key="POST", root="RestoreRequest", written_by="POST"),
    "retention": _Kind(key="PUT", missing="GET", root="Retention"),
    "select": _Kind(key="POST", root="SelectObjectContentRequest", written_by="POST"),
    "tagging": _Kind(_ALL, _ALL, root="Tagging"),
    "torrent": _Kind(missing="GET"),
    "uploadId": _Kind(key="DELETE GET POST PUT", root="CompleteMultipartUpload", written_by="POST"),
    "uploads": _Kind("GET", "POST"),
    "versioning": _Kind("GET PUT", root="VersioningConfiguration"),
    "versions": _Kind("GET"),
    "website": _Kind(_ALL, root="WebsiteConfiguration"),
}
_CREATE: Final = _Kind("PUT", root="CreateBucketConfiguration", instead="")
_NUMBERS: Final[Mapping[str, tuple[int, int]]] = {
    "max-buckets": (1, 10_000),
    "max-keys": (0, MAX_NUMBER),
    "max-parts": (0, MAX_NUMBER),
    "max-uploads": (0, MAX_NUMBER),
    "part-number-marker": (0, MAX_NUMBER),
    "partNumber": (1, MAX_PARTS),
}
_NOT_ALLOWED: Final = Fault(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
_MALFORMED: Final = (
    "The XML you provided was not well-formed or did not validate against our published schema: {}."  # S3's, and why
)
_NO_UPLOAD: Final = Fault(
    404,
    "NoSuchUpload",
    "The specified upload does not exist. "
    "The upload ID may be invalid, or the upload may have been aborted or completed.",
)
_NO_FORM: Final = Fault(
    400,
    "InvalidArgument",
    "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.",
)
_BLAMED: Final[Mapping[str, Fault]] = {  # by what is in the query
    "continuation-token": Fault(400, "InvalidArgument", "The continuation token provided is incorrect"),
    "partNumber": Fault(416, "InvalidPartNumber", "The requested partnumber is not satisfiable"),
}


def split_path(path: str) -> tuple[str, str]:
    """Bucket and key of a path-style address, decoded, "" where none is; an encoded slash parts nothing."""
    bucket, _, key = path.removeprefix("/").partition("/")
    return unquote(bucket), unquote(key)


# ---------------------------------------------------------------- before


def find_fault(request: WireRequest) -> Fault | None:
    """What is wrong with `request` whatever the buckets hold; None where nothing is."""
    bucket, key = split_path(request.path)
    query = parse_qs(request.query, keep_blank_values=True)
    if "/" in bucket or (key and not bucket):
        return Fault(400, "InvalidBucketName", "The specified bucket is not valid.")
    if request.method not in _METHODS or (not bucket and request.method not in {"GET", "HEAD", "OPTIONS"}):
        return _NOT_ALLOWED
    if len(key.encode()) > MAX_KEY_BYTES:
        return Fault(400, "KeyTooLongError", f"Your key is too long: {MAX_KEY_BYTES} bytes are allowed.")
    return (
        _check_method(request, query, is_key=bool(key))
        or _check_query(query)
        or _check_headers(request.headers)
        or _check_body(request, query, is_key=bool(key))
    )


def _check_method(request: WireRequest, query: Mapping[str, object], *, is_key: bool) -> Fault | None:
    named = [name for name in _KINDS if name in query]
    for name in named:
        kind = _KINDS[name]
        if request.method in kind.missing.split():
            message = f"{request.method} of the subresource {name} is not served by this local cloud."
            return Fault(501, "NotImplemented", message)
        writes = request.method in {"DELETE", "POST", "PUT"}
        if writes and request.method not in (kind.key if is_key else kind.bucket).split():
            return _NOT_ALLOWED
    if request.method == "POST" and not named:
        return _NOT_ALLOWED if is_key else _check_form(request.headers)
    return None


def _check_form(headers: Mapping[str, str]) -> Fault | None:
    if headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return None
    message = "Bucket POST must be of the enclosure-type multipart/form-data"
    return Fault(412, "PreconditionFailed", f"At least one of the pre-conditions you specified did not hold: {message}")


def _check_query(query: Mapping[str, list[str]]) -> Fault | None:
    for name, (low, high) in _NUMBERS.items():
        text = query.get(name, [str(low)])[0]
        number = int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else None
        if number is None or not low <= number <= high:
            return Fault(400, "InvalidArgument", f"{name} must be an integer between {low} and {high}.")
    if query.get("encoding-type", ["url"])[0] != "url":
        return Fault(400, "InvalidArgument", "Invalid Encoding Method specified in Request: encoding-type must be url.")
    return None


def _check_headers(headers: Mapping[str, str]) -> Fault | None:
    if headers.get("x-amz-acl", "private") not in _ACLS:
        return Fault(400, "InvalidArgument", f"x-amz-acl must be one of {', '.join(sorted(_ACLS))}.")
    for name, value in headers.items():
        if name.startswith("x-amz-grant-") and not all(_GRANTEE.fullmatch(each.strip()) for each in value.split(",")):
            return Fault(400, "InvalidArgument", f'{name}: Argument format not recognized (id="...", uri="...").')
    source = unquote(headers.get("x-amz-copy-source", "a/b")).partition("?")[0].lstrip("/")
    if not all(source.partition("/")):
        message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        return Fault(400, "InvalidArgument", message)
    if not _COPIED.fullmatch(headers.get("x-amz-copy-source-range", "bytes=0-0")):
        message = "The x-amz-copy-source-range value must be of the form bytes=first-last"
        return Fault(400, "InvalidArgument", message)
    return None


def _check_body(request: WireRequest, query: Mapping[str, object], *, is_key: bool) -> Fault | None:
    if "policy" in query and request.method == "PUT":
        return _check_policy(request.body)
    kinds = [kind for name, kind in _KINDS.items() if name in query and kind.root]
    if not kinds and request.method == "PUT" and not is_key:
        kinds = [_CREATE]
    for kind in kinds:
        if kind.written_by != request.method:
            continue
        if not request.body:
            prefixes = tuple(kind.instead.split())
            if not prefixes or any(name.startswith(prefixes) for name in request.headers):
                continue
            return Fault(400, "MissingRequestBodyError", f"Request Body is empty: a {kind.root} is needed.")
        problem = _xml_problem(request.body, kind.root)
        if problem:
            return Fault(400, "MalformedXML", _MALFORMED.format(problem))
    return None


def _check_policy(body: bytes) -> Fault | None:
    try:
        parse_document(body.decode(), resource_policy=True)
    except UnicodeDecodeError:
        return Fault(400, "MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
    except MalformedPolicy as error:
        return Fault(400, "MalformedPolicy", str(error))
    return None


def _xml_problem(body: bytes, root: str) -> str:
    """Why `body` is no document of `root`, "" where it may be one. Entities are never expanded: there may be no DTD."""
    open_names: list[str] = []
    parser = expat.ParserCreate()

    def start(name: str, _attributes: Mapping[str, str]) -> None:
        if not open_names and name.rpartition(":")[2] != root:
            raise ValueError(f"its root must be {root}")
        if len(open_names) >= MAX_XML_DEPTH:
            raise ValueError(f"more than {MAX_XML_DEPTH} levels")
        open_names.append(name)

    def refuse_doctype(*_: object) -> None:
        raise ValueError("it may have no DOCTYPE")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_names.pop()
    parser.StartDoctypeDeclHandler = refuse_doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        return f"{expat.ErrorString(error.code)} in line {error.lineno}"
    except ValueError as error:
        return str(error)
    return ""


def tidy(request: WireRequest) -> WireRequest:
    """`request` without what S3 passes over: a Range that is none or several, a date that is none. Dates as in HTTP.

    Sources: https://www.rfc-editor.org/rfc/rfc9110#section-14.2 and #section-13.1.3
    """
    headers = dict(request.headers)
    if "range" in headers and not _RANGE.fullmatch(headers["range"].strip()):
        del headers["range"]
    for name in _DATES:
        if name not in headers:
            continue
        try:
            headers[name] = format_datetime(parsedate_to_datetime(headers[name]).astimezone(UTC), usegmt=True)
        except (ValueError, OverflowError):
            del headers[name]
    return request if headers == request.headers else replace(request, headers=headers)


# ---------------------------------------------------------------- after


def blame(request: WireRequest, error: Exception) -> Fault:
    """What S3 would say of a request over which moto raised `error`, for the state it found or a document's members."""
    query = parse_qs(request.query, keep_blank_values=True)
    if isinstance(error, NotImplementedError):
        return Fault(501, "NotImplemented", f"This {request.method} is not served by this local cloud.")
    if "uploadId" in query and isinstance(error, KeyError) and error.args == tuple(query["uploadId"]):
        return _NO_UPLOAD
    for name, fault in _BLAMED.items():
        if name in query:
            return fault
    if request.method == "POST" and not any(name in query for name in _KINDS):
        return _NO_FORM
    if request.method in {"POST", "PUT"} and request.body:
        return Fault(400, "MalformedXML", _MALFORMED.format("a member is missing or of another kind"))
    return Fault(400, "InvalidRequest", "The local cloud could not read this request; its log says where it failed.")
