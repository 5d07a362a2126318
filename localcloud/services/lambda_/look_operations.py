"""What can be looked at and not changed: Function URLs and layers, which come of templates here.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionUrlConfig.html, API_GetLayerVersion.html
"""

from __future__ import annotations

import re
from typing import Any, Final

from localcloud.gateway.function_url import FunctionUrl
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record
from localcloud.services.lambda_.descriptions import describe_date, describe_layer
from localcloud.services.lambda_.errors import bad_constraint, not_found, refused
from localcloud.services.lambda_.members import read_page
from localcloud.services.lambda_.routes import Call

__all__ = [
    "get_layer_version",
    "get_layer_version_by_arn",
    "get_url",
    "list_layer_versions",
    "list_layers",
    "list_urls",
]

PAGE: Final = 50  # in one response
_GONE: Final = "The resource you requested does not exist."
_ALIAS: Final = re.compile(r"(?!^\d+$)^[0-9a-zA-Z-_]+$", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)


async def get_url(api: ApiParts, call: Call) -> WireResponse:
    """The URL of a function or an alias."""
    record, qualifier = find_record(api.functions, call)
    if qualifier and not _ALIAS.fullmatch(qualifier):
        raise bad_constraint(
            "qualifier", qualifier, f"Member must satisfy regular expression pattern: ({_ALIAS.pattern})"
        )
    arn = f"{record.spec.arn}:{qualifier}" if qualifier else record.spec.arn
    found = next((url for url in api.urls() if url.function_arn == arn), None)
    if found is None:
        raise not_found(_GONE)
    return answer(_describe(api, found))


async def list_urls(api: ApiParts, call: Call) -> WireResponse:
    """The URLs of a function and of its aliases."""
    record, _ = find_record(api.functions, call)
    arn = record.spec.arn
    found = sorted(
        (url for url in api.urls() if url.function_arn == arn or url.function_arn.startswith(f"{arn}:")),
        key=lambda url: url.function_arn,
    )
    first, end, marker = read_page(call.query, [url.function_arn for url in found], most=PAGE)
    shown = [_describe(api, url) for url in found[first:end]]
    return answer({"FunctionUrlConfigs": shown} | ({"NextMarker": marker} if marker else {}))


async def list_layers(api: ApiParts, call: Call) -> WireResponse:
    """The newest version of every layer that suits what is asked for."""
    found = [layer for layer in api.layers.newest() if _suits(call, layer.runtimes, layer.architectures)]
    first, end, marker = read_page(call.query, [layer.name for layer in found], most=PAGE)
    shown = [
        {
            "LayerName": layer.name,
            "LayerArn": layer.arn,
            "LatestMatchingVersion": describe_layer(layer, whole=False),
        }
        for layer in found[first:end]
    ]
    return answer({"Layers": shown} | ({"NextMarker": marker} if marker else {}))


async def list_layer_versions(api: ApiParts, call: Call) -> WireResponse:
    """The versions of a layer, the newest first."""
    layers = api.layers.of(call.parts["LayerName"])
    found = [layer for layer in layers if _suits(call, layer.runtimes, layer.architectures)]
    first, end, marker = read_page(call.query, [layer.version_arn for layer in found], most=PAGE)
    shown = [describe_layer(layer, whole=False) for layer in found[first:end]]
    return answer({"LayerVersions": shown} | ({"NextMarker": marker} if marker else {}))


async def get_layer_version(api: ApiParts, call: Call) -> WireResponse:
    """One version of a layer."""
    number = call.parts["VersionNumber"]
    if not _NUMBER.fullmatch(number) or int(number) < 1:
        raise refused("Layer Version Cannot be less than 1")
    found = [layer for layer in api.layers.of(call.parts["LayerName"]) if layer.version == int(number)]
    if not found:
        raise not_found(_GONE)
    return answer(describe_layer(found[0], whole=True))


async def get_layer_version_by_arn(api: ApiParts, call: Call) -> WireResponse:
    """One version of a layer, by its ARN."""
    found = api.layers.get(call.text("Arn"))
    if found is None:
        raise not_found(_GONE)
    return answer(describe_layer(found, whole=True))


def _suits(call: Call, runtimes: tuple[str, ...], architectures: tuple[str, ...]) -> bool:
    runtime, architecture = call.text("CompatibleRuntime"), call.text("CompatibleArchitecture")
    return runtime in {"", *runtimes} and architecture in {"", *architectures}


def _describe(api: ApiParts, url: FunctionUrl) -> dict[str, Any]:
    made = describe_date(api.functions.get(url.function_arn).modified_s)
    found: dict[str, Any] = {
        "FunctionUrl": f"https://{url.domain}/",
        "FunctionArn": url.function_arn,
        "AuthType": "NONE" if url.is_public else "AWS_IAM",
        "InvokeMode": "RESPONSE_STREAM" if url.streams else "BUFFERED",
        "CreationTime": made,
        "LastModifiedTime": made,
    }
    if url.cors is not None:
        found["Cors"] = {
            "AllowCredentials": url.cors.allow_credentials,
            "AllowHeaders": list(url.cors.allow_headers),
            "AllowMethods": list(url.cors.allow_methods),
            "AllowOrigins": list(url.cors.allow_origins),
            "ExposeHeaders": list(url.cors.expose_headers),
            "MaxAge": url.cors.max_age_s,
        }
    return found
