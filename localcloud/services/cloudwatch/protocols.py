"""CloudWatch's three protocols: Smithy RPC v2 with CBOR, AWS JSON 1.0, and the query protocol with its XML.

Owns how a request names its operation and holds its parameters, and how an answer or error is written. Operations meet
one shape: dicts, lists, text, numbers and dates (`Stamp`); what the query protocol can only give as text stays text.
AWS CLI v2 speaks CBOR, current botocore JSON, older ones the query protocol.
Sources: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html and
https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast
from xml.sax.saxutils import escape

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.cloudwatch.cbor import MAX_VALUES, MalformedCbor, Stamp, read_cbor, write_cbor
from localcloud.services.cloudwatch.errors import CloudWatchError, malformed
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.query_form import FormTree, MalformedForm, read_tree

__all__ = ["Asked", "read_request", "speaks", "write_answer", "write_error"]

CBOR: Final = "rpc-v2-cbor"
SERVICE: Final = "GraniteServiceVersion20100801"
VERSION: Final = "2010-08-01"
MAX_BODY_BYTES: Final = 1024 * 1024  # API_PutMetricData.html: 1 MB for a POST request
MAX_INFLATED_BYTES: Final = 16 * 1024 * 1024  # of a body that came compressed; AWS does not say
MAX_FIELDS: Final = 100_000  # of a form: 1,000 data with 30 dimensions each
MAX_NESTING: Final = 12  # MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.1.Value is 8
_XMLNS: Final = "http://monitoring.amazonaws.com/doc/2010-08-01/"
_NAMESPACE: Final = "com.amazonaws.cloudwatch.v2010_08_01#"
_PATH: Final = re.compile(rf".*/service/{SERVICE}/operation/([A-Za-z]+)\Z")
_INDEX: Final = re.compile(r"[1-9][0-9]{0,4}\Z")

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EMPTY_MAP: Final = b"\xa0"


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation's name and its parameters, in the shape that the three protocols share."""

    operation: str
    parameters: Mapping[str, Any]


def speaks(request: WireRequest) -> str:
    """The request's protocol: "cbor", "json" or "query". Raises CloudWatchError for another Smithy protocol."""
    smithy = request.headers.get("smithy-protocol")
    if smithy == CBOR:
        return "cbor"
    if smithy is not None:
        message = f"The local cloud does not speak the protocol {smithy} with CloudWatch; it speaks {CBOR}"
        raise CloudWatchError("UnknownOperationException", message)
    return "json" if request.target else "query"


def read_request(request: WireRequest) -> Asked:
    """What `request` asks. Raises CloudWatchError where it has not the form of its protocol."""
    protocol = speaks(request)
    body = _inflate(request)
    if protocol == "query":
        return _read_form(body, request.query)
    if protocol == "json":
        return Asked(request.target.removeprefix(f"{SERVICE}."), _read_json(body))
    found = _PATH.match(request.path)
    if found is None:
        raise CloudWatchError("UnknownOperationException", "The path names no operation of CloudWatch")
    return Asked(found[1], _read_cbor(body))


def write_answer(request: WireRequest, operation: str, answer: Mapping[str, Any] | None) -> WireResponse:
    """`answer` in the request's protocol; None where the operation has no output."""
    protocol = speaks(request)
    if protocol == "cbor":
        body = b"" if answer is None else write_cbor(answer)
        headers = {"smithy-protocol": CBOR} | ({} if answer is None else {"content-type": "application/cbor"})
        return WireResponse(200, body, headers)
    if protocol == "json":
        body = json.dumps(answer or {}, ensure_ascii=False, separators=(",", ":")).encode()
        return WireResponse(200, body, {"content-type": "application/x-amz-json-1.0"})
    result = "" if answer is None else f"<{operation}Result>{_xml(answer)}</{operation}Result>"
    text = (
        f'<{operation}Response xmlns="{_XMLNS}">{result}'
        f"<ResponseMetadata><RequestId>{request.request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )
    return WireResponse(200, text.encode(), {"content-type": "text/xml"})


def write_error(request: WireRequest, error: CloudWatchError) -> WireResponse:
    """`error` in the request's protocol."""
    sort = "Sender" if error.status < 500 else "Receiver"
    told = {"__type": f"{_NAMESPACE}{error.shape}", "message": error.message}
    headers = {"x-amzn-query-error": f"{error.code};{sort}"}
    smithy = request.headers.get("smithy-protocol")
    if smithy == CBOR:
        headers |= {"smithy-protocol": CBOR, "content-type": "application/cbor"}
        return WireResponse(error.status, write_cbor(told), headers)
    if smithy is not None or request.target:
        headers |= {"content-type": "application/x-amz-json-1.0"}
        return WireResponse(error.status, json.dumps(told).encode(), headers)
    text = (
        f'<ErrorResponse xmlns="{_XMLNS}"><Error><Type>{sort}</Type><Code>{_escape(error.code)}</Code>'
        f"<Message>{_escape(error.message)}</Message></Error><RequestId>{request.request_id}</RequestId></ErrorResponse>"
    )
    return WireResponse(error.status, text.encode(), {"content-type": "text/xml"})


def _inflate(request: WireRequest) -> bytes:
    if len(request.body) > MAX_BODY_BYTES:
        message = f"Request size exceeded the limit of {MAX_BODY_BYTES} bytes"
        raise CloudWatchError("RequestEntityTooLarge", message, status=413)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return request.body
    if encoding != "gzip":
        raise malformed("The content encoding is none that CloudWatch takes")
    unpacker = zlib.decompressobj(wbits=31)  # 31: gzip
    try:
        body = unpacker.decompress(request.body, MAX_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise malformed("The body is no gzip") from error
    if len(body) > MAX_INFLATED_BYTES:
        message = f"The local cloud takes {MAX_INFLATED_BYTES} bytes at most, once they are not compressed any more"
        raise CloudWatchError("RequestEntityTooLarge", message, status=413)
    if not unpacker.eof or unpacker.unused_data:
        raise malformed("The body is no gzip")
    return body


def _read_cbor(body: bytes) -> Mapping[str, Any]:
    try:
        value = read_cbor(body or _EMPTY_MAP)
    except MalformedCbor as error:
        raise malformed(f"The body is no CBOR: {error}") from error
    return _as_parameters(value)


def _read_json(body: bytes) -> Mapping[str, Any]:
    if body.count(b",") >= MAX_VALUES:  # as cheap as it must be: those in texts count as well
        raise malformed("The body is no JSON: it holds too many values")
    try:
        value = read_json(body or b"{}")
    except MalformedJson as error:
        raise malformed(f"The body is no JSON: {error}") from error
    return _as_parameters(value)


def _as_parameters(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise malformed("The body is no structure")
    return cast("dict[str, Any]", value)


def _read_form(body: bytes, query: str) -> Asked:
    try:
        tree = read_tree(body.decode() if body else query, max_fields=MAX_FIELDS, max_depth=MAX_NESTING)
    except UnicodeDecodeError as error:
        raise CloudWatchError("MalformedQueryString", "The query string contains a syntax error.") from error
    except MalformedForm as error:
        raise CloudWatchError(error.code, str(error)) from error
    operation, version = tree.pop("Action", ""), tree.pop("Version", VERSION)
    if not isinstance(operation, str) or not operation:
        raise CloudWatchError("MissingAction", "The request must contain the parameter Action.")
    if version != VERSION:
        raise CloudWatchError("NoSuchVersion", f"The requested version ({version}) of service monitoring is not valid.")
    return Asked(operation, {name: _shape(branch) for name, branch in tree.items()})


def _shape(branch: FormTree | str) -> Any:
    """A list where the only member is `member`, with its numbers as indexes; else a structure."""
    if isinstance(branch, str):
        return branch
    members = branch.get("member")
    if len(branch) != 1 or not isinstance(members, dict):
        return {name: _shape(inner) for name, inner in branch.items()}
    if not all(_INDEX.match(name) for name in members):
        raise malformed("A list's members are numbered from 1.")
    return [_shape(members[name]) for name in sorted(members, key=int)]


def _xml(value: object) -> str:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return "".join(f"<{name}>{_xml(member)}</{name}>" for name, member in members.items())
    if isinstance(value, list):
        return "".join(f"<member>{_xml(member)}</member>" for member in cast("list[object]", value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Stamp):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _escape(str(value))


def _escape(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text))
