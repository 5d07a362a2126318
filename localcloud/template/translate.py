"""SAM -> CloudFormation, offline, and remembered by content so that a warm start never imports the translator.

The translator wants code in S3. Local paths are swapped for places in a bucket that does not exist and swapped back in
its output, so that a function's `Code` is the path as written. Owns the cache; knows nothing of resources or services.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError
from localcloud.template.parameters import ParameterValue

__all__ = ["LANGUAGE_EXTENSIONS", "SAM_TRANSFORM", "Translation", "translate"]

SAM_TRANSFORM: Final = "AWS::Serverless-2016-10-31"
LANGUAGE_EXTENSIONS: Final = "AWS::LanguageExtensions"

_FORMAT: Final = "1"  # raise it when what is cached changes its shape
_BUCKET: Final = "sluiceway-local"
_ASIDE: Final = "sluiceway-set-aside"  # in place of a value
_MADE_ANEW: Final = ("http://127.0.0.1:", "{")
_PLACES: Final = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::LayerVersion": ("ContentUri",),
    "AWS::Serverless::Api": ("DefinitionUri",),
    "AWS::Serverless::HttpApi": ("DefinitionUri",),
    "AWS::Serverless::StateMachine": ("DefinitionUri",),
    "AWS::Serverless::GraphQLApi": ("SchemaUri",),
    "AWS::Serverless::MicrovmImage": ("CodeUri",),
    "AWS::Serverless::WebFunction": ("CodeUri",),
}
_GLOBAL_PLACES: Final = {"Function": ("CodeUri",), "LayerVersion": ("ContentUri",), "Api": ("DefinitionUri",)}


@dataclass(frozen=True, slots=True)
class Translation:
    """A CloudFormation template without transforms. `cached`: the translator was not needed for it."""

    body: Mapping[str, Any]
    cached: bool


def translate(
    body: Mapping[str, Any],
    parameters: Mapping[str, ParameterValue],
    *,
    region: str,
    cache: Path | None = None,
) -> Translation:
    """`body` in CloudFormation's own resource types. Templates without the SAM transform come back as they are.

    `cache`: a folder for translations, made where it is missing. Raises TemplateError that lists every fault the
    translator found, and for macros that are not served.
    """
    if SAM_TRANSFORM not in _transforms(body):
        return Translation(body=body, cached=False)
    if cache is None:
        return Translation(body=_run_translator(body, parameters, region), cached=False)
    aside = _set_aside(parameters)
    places = [cache / f"{_cache_key(body, values, region)}.json" for values in (aside, parameters)]
    if (found := _load(places[0]) or _load(places[1])) is not None:
        return Translation(body=found, cached=True)
    if aside != parameters:
        with suppress(TemplateError):  # the value's own fault is told of the value
            translated = _run_translator(body, aside, region)
            if _ASIDE not in json.dumps(translated):
                return _stored(places[0], translated)
    return _stored(places[1], _run_translator(body, parameters, region))


def _set_aside(parameters: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    """Without what each start makes anew (addresses, key sets): the translator hardly ever reads the value of one.

    Where it does, what stands in for it is in the translation.
    """
    return {
        name: _ASIDE if isinstance(value, str) and value.startswith(_MADE_ANEW) else value
        for name, value in parameters.items()
    }


def _transforms(body: Mapping[str, Any]) -> list[str]:
    declared = body.get("Transform", [])
    names = cast("list[Any]", declared) if isinstance(declared, list) else [declared]
    for name in names:
        if name not in {SAM_TRANSFORM, LANGUAGE_EXTENSIONS}:
            raise TemplateError(f"the macro {name} is not served here", where="Transform")
    return names


def _cache_key(body: Mapping[str, Any], parameters: Mapping[str, ParameterValue], region: str) -> str:
    facts = [_FORMAT, version("aws-sam-translator"), region, body, dict(parameters)]
    text = json.dumps(facts, sort_keys=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _load(path: Path) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None  # missing, or half written by a machine that lost power: translate again


def _stored(path: Path, translated: Mapping[str, Any]) -> Translation:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        json.dump(translated, file, separators=(",", ":"))
    Path(name).replace(path)
    return Translation(body=translated, cached=False)


# ---------------------------------------------------------------- the translator


def _run_translator(body: Mapping[str, Any], parameters: Mapping[str, ParameterValue], region: str) -> dict[str, Any]:
    from boto3 import Session  # noqa: PLC0415 - half a second of imports: only here, only on a miss of the cache
    from samtranslator.model.exceptions import InvalidDocumentException  # noqa: PLC0415 - the same
    from samtranslator.parser.parser import Parser  # noqa: PLC0415 - the same
    from samtranslator.translator.translator import Translator  # noqa: PLC0415 - the same

    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns of its own feature toggles and metrics
    template = cast("dict[str, Any]", json.loads(json.dumps(body)))
    places = _Places()
    places.hide(template, parameters)
    _name_origins(template)
    values = {name: value if isinstance(value, str) else ",".join(value) for name, value in parameters.items()}
    translator = Translator({}, Parser(), boto_session=Session(region_name=region))
    try:
        translated: Any = translator.translate(
            template, values, passthrough_metadata=True, get_managed_policy_map=_managed_policies(region)
        )
    except InvalidDocumentException as error:
        raise _explain(error) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TemplateError(f"the SAM translator fails: {type(error).__name__}: {error}", where="Resources") from error
    return cast("dict[str, Any]", places.restore(translated))


def _managed_policies(region: str) -> Any:
    from samtranslator.internal.managed_policies import get_bundled_managed_policy_map  # noqa: PLC0415 - the same
    from samtranslator.translator.arn_generator import ArnGenerator  # noqa: PLC0415 - the same

    bundled = get_bundled_managed_policy_map(ArnGenerator.get_partition_name(region)) or {}
    return lambda: bundled


def _explain(error: Any) -> TemplateError:
    """One error of ours with all that the translator found, a line each, first the resource it names."""
    messages = [str(cause.message) for cause in error.causes] or [str(error.message)]
    first = error.causes[0] if error.causes else None
    logical_id = str(getattr(first, "_logical_id", "") or "")
    return TemplateError("\n".join(messages), where=f"Resources.{logical_id}" if logical_id else "Resources")


def _name_origins(template: dict[str, Any]) -> None:
    """Metadata.SamResourceId, as `sam build` writes it: layers get another logical id when translated."""
    for logical_id, resource in template["Resources"].items():
        if isinstance(resource, dict):
            entry = cast("dict[str, Any]", resource)
            _refuse_repository(logical_id, entry)
            if str(entry.get("Type", "")).startswith("AWS::Serverless::"):
                entry["Metadata"] = {**(entry.get("Metadata") or {}), "SamResourceId": logical_id}


def _refuse_repository(logical_id: str, entry: Mapping[str, Any]) -> None:
    """The translator would ask the network for an application of the Serverless Application Repository."""
    if entry.get("Type") != "AWS::Serverless::Application":
        return
    properties = cast("dict[str, Any]", entry.get("Properties") or {})
    location = properties.get("Location")
    if not isinstance(location, str):
        said = "applications of the Serverless Application Repository cannot be fetched here; a local template can"
        raise TemplateError(said, where=f"Resources.{logical_id}.Properties.Location")


class _Places:
    """The local paths of one template, by the name of the place in S3 that stands in for them."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}

    def hide(self, template: dict[str, Any], parameters: Mapping[str, ParameterValue]) -> None:
        for section, names in self._sections(template):
            for name in names:
                path = _parameter_path(section.get(name), parameters)
                if path is not None and not path.startswith("s3://"):
                    section[name] = self._hide(path)

    def _sections(self, template: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
        for kind, names in _GLOBAL_PLACES.items():
            section: Any = cast("dict[str, Any]", template.get("Globals") or {}).get(kind)
            if isinstance(section, dict):
                yield cast("dict[str, Any]", section), names
        for resource in template["Resources"].values():
            if isinstance(resource, dict):
                entry = cast("dict[str, Any]", resource)
                properties = entry.get("Properties")
                if isinstance(properties, dict) and str(entry.get("Type")) in _PLACES:
                    yield cast("dict[str, Any]", properties), _PLACES[str(entry.get("Type"))]

    def _hide(self, path: str) -> str:
        key = f"{len(self._paths)}/{hashlib.sha256(path.encode()).hexdigest()[:16]}"
        self._paths[key] = path
        return f"s3://{_BUCKET}/{key}"

    def restore(self, value: Any) -> Any:
        """`value` with every place swapped back: `{"S3Bucket": ..., "S3Key": ...}` becomes the path."""
        if isinstance(value, list):
            return [self.restore(item) for item in cast("list[Any]", value)]
        if not isinstance(value, dict):
            return value
        items = cast("dict[str, Any]", value)
        if _BUCKET in (items.get("S3Bucket"), items.get("Bucket")):
            key = items.get("S3Key", items.get("Key"))
            if key in self._paths:
                return self._paths[key]
        return {name: self.restore(item) for name, item in items.items()}


def _parameter_path(value: Any, parameters: Mapping[str, ParameterValue]) -> str | None:
    """A path as written, or by `Ref` to a parameter; None where it is anything else."""
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        value = parameters.get(str(named.get("Ref"))) if len(named) == 1 else None
    return value if isinstance(value, str) else None
