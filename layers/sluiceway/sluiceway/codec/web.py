"""HTTP requests from wherever they come: a REST API or HTTP API (payload 1.0), or a Function URL or HTTP API (2.0).

All of them take the reply of payload 1.0. Sources:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html and
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway.codec import rest
from sluiceway.codec.http import decode_body
from sluiceway.codec.rest import correlation_id, encode, refuse
from sluiceway.codec.shape import malformed, mapping, optional_mapping, optional_text, sequence, text, texts
from sluiceway.events.http import HttpRequest

__all__ = ["correlation_id", "decode", "encode", "refuse"]


def decode(raw: object) -> HttpRequest:
    """The request; `caller` is the Lambda authorizer's principalId. Raises: Rejected (`malformed-event`)."""
    event = mapping(raw, "root")
    version = event.get("version", "1.0")
    if version == "2.0":
        return _decode_2(event)
    if version != "1.0":
        raise malformed("version", "1.0 or 2.0")
    return rest.decode(event)


def _decode_2(event: Mapping[str, object]) -> HttpRequest:
    context = mapping(event.get("requestContext"), "requestContext")
    request = mapping(context.get("http"), "requestContext.http")
    authorizer = optional_mapping(context.get("authorizer"), "requestContext.authorizer")
    answer = optional_mapping(authorizer.get("lambda"), "requestContext.authorizer.lambda")
    return HttpRequest(
        method=text(request.get("method"), "requestContext.http.method"),
        path=_path(event, optional_text(context.get("stage"), "requestContext.stage")),
        headers=_headers(event),
        query=_query(optional_text(event.get("rawQueryString"), "rawQueryString")),
        path_parameters=texts(event.get("pathParameters"), "pathParameters"),
        body=decode_body(event.get("body"), event.get("isBase64Encoded")),
        caller=optional_text(answer.get("principalId"), "requestContext.authorizer.lambda.principalId"),
        request_id=text(context.get("requestId"), "requestContext.requestId"),
    )


def _path(event: Mapping[str, object], stage: str) -> str:
    """The path within the stage, as payload 1.0 has it: an HTTP API puts its stage in front, but for `$default`."""
    path = text(event.get("rawPath"), "rawPath")
    if stage in {"", "$default"} or not f"{path}/".startswith(f"/{stage}/"):
        return path
    return path.removeprefix(f"/{stage}") or "/"


def _headers(event: Mapping[str, object]) -> dict[str, str]:
    """Names in lower case; cookies, which payload 2.0 sets apart, where payload 1.0 has them."""
    headers = {name.lower(): value for name, value in texts(event.get("headers"), "headers").items()}
    cookies = event.get("cookies")
    if cookies:
        headers["cookie"] = "; ".join(text(each, "cookies") for each in sequence(cookies, "cookies"))
    return headers


def _query(raw: str) -> dict[str, str]:
    """The last value of each name: in `queryStringParameters` several are one text with commas."""
    if not raw:
        return {}
    from urllib.parse import parse_qsl  # noqa: PLC0415 - costs 3 % of a cold start, for the few requests with a query

    return dict(parse_qsl(raw, keep_blank_values=True))
