"""Templates and their settings as files: YAML or JSON with CloudFormation tags, and samconfig.toml.

Owns text -> plain maps and lists, with every short tag in its long form (`!Sub x` is `{"Fn::Sub": "x"}`), and errors
that name file and line. Knows nothing of what the functions mean.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import yaml

from localcloud.template.errors import TemplateError

__all__ = [
    "DEFAULT_ENVIRONMENT",
    "Settings",
    "Source",
    "environment_names",
    "parse_template",
    "read_settings",
    "read_template",
    "settings_file",
]

MAX_TEMPLATE_BYTES: Final = 1024 * 1024
"""CloudFormation's limit for a template in S3.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

DEFAULT_ENVIRONMENT: Final = "default"
"""The environment of samconfig that counts where none is named.

Source: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html"""

MAX_DEPTH: Final = 100  # ours; a deep state machine inside a template has about 40 levels
SHORT_FORMS: Final = (
    "And", "Base64", "Cidr", "Equals", "FindInMap", "GetAtt", "GetAZs", "If", "ImportValue", "Join", "Length", "Not",
    "Or", "Select", "Split", "Sub", "ToJsonString", "Transform",
)  # fmt: skip

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, 8 times as fast, where it is built in


@dataclass(frozen=True, slots=True)
class Source:
    """A template as written. `body` is JSON-like: maps, lists, text, numbers, booleans, None."""

    path: Path
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What one environment of samconfig.toml says about a deployment; "" and {} where it says nothing.

    `unused` are its other settings, but for those that only say how something is uploaded, asked or shown.
    """

    stack_name: str = ""
    region: str = ""
    template: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    unused: tuple[str, ...] = ()


class _TemplateLoader(_Loader):
    """Safe YAML, and: short tags, dates stay text (as in CloudFormation), a key written twice is an error."""

    def flatten_mapping(self, node: Any) -> None:
        """Merge `<<`: merged pairs come first, so the map's own win. A key stays once, or merges would multiply."""
        safe: Any = super()
        safe.flatten_mapping(node)
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            pairs[_key_text(key)] = (key, value)
        node.value = list(pairs.values())


def _long_form(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if suffix in {"Ref", "Condition"}:
        return {suffix: loader.construct_scalar(node)}
    if suffix not in SHORT_FORMS:
        raise yaml.MarkedYAMLError(problem=f"!{suffix} is no CloudFormation function", problem_mark=node.start_mark)
    return {f"Fn::{suffix}": _argument(loader, suffix, node)}


def _argument(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return str(text).split(".", 1) if suffix == "GetAtt" else text
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return _unique_map(loader, node)


def _key_text(key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
    return str(key.value)


def _unique_map(loader: Any, node: Any) -> dict[str, Any]:
    written: set[str] = set()
    for key, _ in node.value:
        if _key_text(key) in written:
            raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
        written.add(key.value)
    loader.flatten_mapping(node)
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


def _plain_text(loader: Any, node: yaml.Node) -> str:
    return str(loader.construct_scalar(node))


_TemplateLoader.add_multi_constructor("!", _long_form)
_TemplateLoader.add_constructor("tag:yaml.org,2002:map", _unique_map)
_TemplateLoader.add_constructor("tag:yaml.org,2002:timestamp", _plain_text)


def parse_template(text: str, *, name: str) -> Any:
    """The YAML or JSON `text` as plain values. Raises TemplateError with `name`, line and column."""
    try:
        value: Any = yaml.load(text, Loader=_TemplateLoader)  # noqa: S506 - a safe loader with CloudFormation's tags
        size, depth = _measure(value, {})
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
        raise TemplateError(error.problem or "is no YAML", where=place) from error
    except yaml.YAMLError as error:
        raise TemplateError(str(error), where=name) from error
    except RecursionError as error:
        raise TemplateError(f"is nested deeper than {MAX_DEPTH} levels", where=name) from error
    if depth > MAX_DEPTH:
        raise TemplateError(f"is nested {depth} levels deep, {MAX_DEPTH} are served", where=name)
    if size > MAX_TEMPLATE_BYTES:
        detail = f"has {size} characters with its aliases written out, CloudFormation takes {MAX_TEMPLATE_BYTES} bytes"
        raise TemplateError(detail, where=name)
    return value


def _measure(value: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Characters and depth of `value` with every alias written out; each object is looked at once."""
    if isinstance(value, str):
        return len(value), 0
    if not isinstance(value, (dict, list)):
        return 1, 0
    found = known.get(id(cast("object", value)))
    if found is None:
        parts: list[Any] = cast("list[Any]", value)
        if isinstance(value, dict):
            members = cast("dict[Any, Any]", value)
            parts = [*members, *members.values()]
        inner = [_measure(part, known) for part in parts]
        found = (1 + sum(size for size, _ in inner), 1 + max((depth for _, depth in inner), default=0))
        known[id(cast("object", value))] = found
    return found


def read_template(path: Path) -> Source:
    """Read a template file. Raises TemplateError where it is missing, too large, or no template."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TemplateError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) > MAX_TEMPLATE_BYTES:
        raise TemplateError(f"has {len(raw)} bytes, CloudFormation takes {MAX_TEMPLATE_BYTES}", where=str(path))
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise TemplateError("is not UTF-8", where=str(path)) from error
    body = parse_template(text, name=path.name)
    if not isinstance(body, dict) or not isinstance(cast("dict[str, Any]", body).get("Resources"), dict):
        raise TemplateError("is no template: a map with a Resources section is needed", where=path.name)
    return Source(path=path, body=cast("dict[str, Any]", body))


_USED: Final = frozenset({"stack_name", "region", "template", "template_file", "parameter_overrides"})
_UPLOADING: Final = frozenset(
    {
        "base_dir", "beta_features", "build_dir", "cached", "capabilities", "confirm_changeset", "debug",
        "disable_rollback", "fail_on_empty_changeset", "force_upload", "guided", "image_repositories",
        "image_repository", "kms_key_id", "lint", "max_wait_duration", "no_execute_changeset", "no_progressbar",
        "on_failure", "parallel", "profile", "resolve_image_repos", "resolve_s3", "s3_bucket", "s3_prefix",
        "save_params", "signing_profiles", "use_container", "use_json",
    }
)  # fmt: skip


def read_settings(path: Path, *, environment: str = DEFAULT_ENVIRONMENT) -> Settings:
    """The `deploy` (and `global`) parameters of one environment of samconfig; empty where there is no file.

    Raises TemplateError for a file that is no TOML (YAML where it is called so), and for an environment that a present
    file does not have.
    Source: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html
    """
    document = _read_document(path)
    if document is None:
        return Settings()
    section: Any = document.get(environment)
    if not isinstance(section, dict):
        if environment == DEFAULT_ENVIRONMENT:
            return Settings()
        raise TemplateError(f"has no environment {environment!r}", where=path.name)
    merged: dict[str, Any] = {}
    for command in ("global", "deploy"):
        part: Any = cast("dict[str, Any]", section).get(command) or {}
        parameters: Any = cast("dict[str, Any]", part).get("parameters") or {} if isinstance(part, dict) else part
        if not isinstance(parameters, dict):
            raise TemplateError("parameters must be a map", where=f"{path.name}.{environment}.{command}")
        merged |= cast("dict[str, Any]", parameters)
    return Settings(
        stack_name=str(merged.get("stack_name", "")),
        region=str(merged.get("region", "")),
        template=str(merged.get("template_file", merged.get("template", ""))),
        parameters=_read_overrides(merged.get("parameter_overrides", ()), where=f"{path.name}.{environment}"),
        unused=tuple(sorted(merged.keys() - _USED - _UPLOADING)),
    )


def environment_names(path: Path) -> frozenset[str]:
    """The environments of samconfig.toml; none where there is no file. Raises TemplateError for one that is no TOML."""
    document = _read_document(path) or {}
    return frozenset(name for name, section in document.items() if isinstance(section, dict))


def settings_file(folder: Path) -> Path:
    """The samconfig file of a folder: the TOML one, else the YAML one; samconfig.toml where there is neither."""
    names = ("samconfig.toml", "samconfig.yaml", "samconfig.yml")
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _read_document(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    kind = "YAML" if path.suffix in (".yaml", ".yml") else "TOML"
    try:
        text = path.read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text) if kind == "YAML" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise TemplateError(f"is no {kind}: {error}", where=path.name) from error
    if not isinstance(found, dict):
        raise TemplateError("must be a map of environments", where=path.name)
    return cast("dict[str, Any]", found)


_OVERRIDE = re.compile(r"""([A-Za-z0-9]+)=("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^\s\\])*)(?:\s+|$)""")
_LEGACY_OVERRIDE = re.compile(
    r"""ParameterKey=([A-Za-z0-9]+),ParameterValue=("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^\s\\])*)(?:\s+|$)"""
)


def _read_overrides(value: Any, *, where: str) -> dict[str, str]:
    """`parameter_overrides` as SAM takes it: one text, a list of `Key=Value`, or a table."""
    if not isinstance(value, (dict, str, list, tuple)):
        raise TemplateError("parameter_overrides must be text, a list or a table", where=where)
    if isinstance(value, dict):
        return {key: _override_text(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, str):
        return _scan_overrides(value, where=where)
    found: dict[str, str] = {}
    for item in cast("list[Any]", value):
        key, equals, text = str(item).partition("=")
        if not equals:
            raise TemplateError(f"parameter_overrides: {item!r} is not Key=Value", where=where)
        found[key] = _unquote(text)
    return found


def _scan_overrides(text: str, *, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = text.strip()
    while rest:
        match = _LEGACY_OVERRIDE.match(rest) or _OVERRIDE.match(rest)
        if match is None:
            raise TemplateError(f"parameter_overrides: cannot read from {rest[:40]!r}", where=where)
        found[match[1]] = _unquote(match[2])
        rest = rest[match.end() :]
    return found


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return re.sub(r"\\(.)", r"\1", text)


def _override_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_override_text(item) for item in cast("list[Any]", value))
    return str(value)
