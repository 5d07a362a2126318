"""Where a service is reached: what describes a service, and its address by Region and settings.

Knows names and addresses only; opens nothing.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sluiceway.aws.http import Origin
from sluiceway.errors import Misconfigured

__all__ = ["Endpoint", "Protocol", "ServiceSpec", "parse_url", "read_region", "resolve_endpoint"]

Protocol = Literal["json-1.0", "json-1.1", "rest-json", "rest"]

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?"
)
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")

# Partitions whose host names are known here: botocore/data/partitions.json
# Compiled where they are asked, which an endpoint that is set spares: each costs a cold start 0.4 ms
_SUFFIXES: Final = (
    (r"cn-\w+-\d+", "amazonaws.com.cn"),
    (r"us-gov-\w+-\d+", "amazonaws.com"),
    (r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "amazonaws.com"),
)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceSpec:
    """One AWS service, as its API model describes it.

    `endpoint_prefix` is the first label of its host name (`bedrock-runtime`) and names it in errors; `signing_name` is
    the service in the credential scope (`bedrock`); `env_name` completes `AWS_ENDPOINT_URL_` (`BEDROCK_RUNTIME`);
    `target_prefix` (JSON protocols) precedes the operation in `X-Amz-Target`. `read_timeout_s`: the longest silence
    while an answer is awaited, 60 s as in AWS SDKs; give more where a service thinks for long. `max_attempts` and
    `retry_base_s` (the first pause after a transient error) are the SDKs' own; DynamoDB's are 4 and 0.025. One attempt
    is one, whatever `AWS_MAX_ATTEMPTS` says. `url`: the address of a service that has one for each resource instead of
    one for the Region, https and a host.
    """

    endpoint_prefix: str
    signing_name: str
    protocol: Protocol
    env_name: str
    target_prefix: str = ""
    read_timeout_s: float = 60.0
    max_attempts: int = 3
    retry_base_s: float = 0.05
    url: str = ""


class Endpoint(NamedTuple):
    """An address: the origin, the `host` header, and a path that goes before every request's ("" at AWS)."""

    origin: Origin
    host: str
    path: str


def read_region(environ: Mapping[str, str]) -> str:
    """The Region (`AWS_REGION`, else `AWS_DEFAULT_REGION`). Raises Misconfigured."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if _REGION.fullmatch(region) is None:
        said = f"{region!r} is no Region" if region else "no Region is set"
        raise Misconfigured(f"{said}: set AWS_REGION", what="AWS_REGION")
    return region


def resolve_endpoint(service: ServiceSpec, region: str, environ: Mapping[str, str]) -> Endpoint:
    """`AWS_ENDPOINT_URL_<SERVICE>`, else `AWS_ENDPOINT_URL`, else its own, else the Region's. Raises Misconfigured."""
    _refuse_variants(environ)
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        for name in (f"AWS_ENDPOINT_URL_{service.env_name}", "AWS_ENDPOINT_URL"):
            if environ.get(name):
                named = parse_url(environ[name], what=name)
                return Endpoint(named.origin, named.host, named.path.rstrip("/"))
    if service.url:
        return parse_url(service.url, what=f"AWS_ENDPOINT_URL_{service.env_name}")
    for pattern, suffix in _SUFFIXES:
        if re.fullmatch(pattern, region):
            host = f"{service.endpoint_prefix}.{region}.{suffix}"
            return Endpoint(Origin(tls=True, host=host, port=443), host, "")
    raise Misconfigured(
        f"the host names of Region {region} are not known: name the endpoint with AWS_ENDPOINT_URL_{service.env_name}",
        what="AWS_REGION",
    )


def _refuse_variants(environ: Mapping[str, str]) -> None:
    for name in ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"):
        if environ.get(name, "").lower() == "true":
            raise Misconfigured(f"{name} is not served: name the endpoint with AWS_ENDPOINT_URL_*", what=name)


def parse_url(url: str, *, what: str) -> Endpoint:
    """The address in `url`; `what` is the setting it came from. Raises Misconfigured."""
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 0) > 65535:
        raise Misconfigured(f"{what} is not an http or https address: {url!r}", what=what)
    tls = match["scheme"] == "https"
    name = match["host"] or match["ipv6"]
    shown = match["host"] or f"[{match['ipv6']}]"
    usual = 443 if tls else 80
    port = int(match["port"] or usual)
    host = shown if port == usual else f"{shown}:{port}"
    return Endpoint(Origin(tls=tls, host=name, port=port), host, match["path"] or "")
