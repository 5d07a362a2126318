"""Where a service is reached: what describes a service, and its address by Region and settings.

Knows names and addresses only; opens nothing.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from sluiceway.aws.http import Origin
from sluiceway.errors import Misconfigured

__all__ = ["Endpoint", "Protocol", "ServiceSpec", "parse_url", "read_region", "resolve_endpoint"]

Protocol = Literal["json-1.0", "json-1.1", "rest-json", "rest"]

# Addresses are read by hand: to compile regular expressions for them took a fiftieth of a cold start
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_HOST: Final = frozenset(f"{_LETTERS}{_LETTERS.upper()}{_DIGITS}._-")
_IPV6: Final = frozenset(f"{_DIGITS}abcdefABCDEF:.")
_PATH: Final = frozenset(map(chr, range(0x21, 0x7F)))
_LABEL: Final = frozenset(_LETTERS + _DIGITS)
MAX_PORT: Final = 65_535
USUAL_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

# Partitions whose host names are known here, by what stands before direction and number: botocore/data/partitions.json
_SUFFIXES: Final[Mapping[str, str]] = {
    "cn": "amazonaws.com.cn",
    "us-gov": "amazonaws.com",
    **dict.fromkeys(("us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"), "amazonaws.com"),
}


class ServiceSpec(NamedTuple):
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
    labels = region.split("-")
    if len(labels) < 2 or not all(label and _LABEL.issuperset(label) for label in labels):
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
    group, _, number = region.rpartition("-")
    suffix = _SUFFIXES.get(group.rpartition("-")[0])
    if suffix is not None and number.isdigit():
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
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    shown, port = _split_port(authority)
    name = shown[1:-1] if shown.startswith("[") and shown.endswith("]") else shown
    usual = USUAL_PORTS.get(scheme)
    is_host = bool(name) and (_HOST if name == shown else _IPV6).issuperset(name)
    if usual is None or not is_host or not _is_port(port or str(usual)) or not _PATH.issuperset(path):
        raise Misconfigured(f"{what} is not an http or https address: {url!r}", what=what)
    number = int(port or usual)
    host = shown if number == usual else f"{shown}:{number}"
    return Endpoint(Origin(tls=scheme == "https", host=name, port=number), host, slash + path)


def _split_port(authority: str) -> tuple[str, str]:
    """The host as it is written and the digits of the port, "" where none is named."""
    behind = authority.rpartition("]")[2] if authority.startswith("[") else authority
    _, colon, port = behind.partition(":")
    return authority.removesuffix(colon + port) if port else authority, port


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MAX_PORT
