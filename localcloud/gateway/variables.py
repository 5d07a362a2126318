"""`$input` and `$util` of mapping templates.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, cast
from urllib.parse import quote_plus, unquote_plus

from localcloud.gateway.jsonpath import Absent, JsonPathError, find
from localcloud.gateway.vtl import JsonList, Unknown, as_text, json_text
from localcloud.json_text import MalformedJson, parse_json

__all__ = ["InputVariable", "UtilVariable", "java_url_encode"]

_NOT_PARSED: Final = object()


def _as_template_value(value: Any) -> Any:
    """A JSON document's lists print as JSON in a template, its maps as Java's maps do."""
    if isinstance(value, dict):
        return {key: _as_template_value(part) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return JsonList(_as_template_value(part) for part in cast("list[Any]", value))
    return value


class InputVariable:
    """`$input`: the body and parameters of a request, or the body of an integration's answer."""

    def __init__(self, body: str, parameters: Mapping[str, Mapping[str, str]]) -> None:
        self._body = body
        self._parameters = {place: dict(parameters.get(place, {})) for place in ("path", "querystring", "header")}

    @cached_property
    def _document(self) -> Any:
        try:
            return parse_json(self._body or "{}")
        except MalformedJson:
            return _NOT_PARSED

    def get(self, name: str) -> Any:
        """`$input.body`: the text as it came, `{}` where there was none."""
        if name == "body":
            return self._body or "{}"
        raise Unknown(f"$input has no {name} (body, json, path and params are there)")

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """`$input.json(path)`, `$input.path(path)`, `$input.params()`, `$input.params(name)`."""
        if name == "params" and not arguments:
            return self._parameters
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise Unknown(f"$input.{name}() needs one string")
        if name == "params":
            return self._parameter(arguments[0])
        if name not in {"json", "path"}:
            raise Unknown(f"$input has no method {name}() (json, path and params are there)")
        found = self._find(arguments[0])
        if name == "json":
            return '""' if isinstance(found, Absent) else json_text(found)
        return None if isinstance(found, Absent) else _as_template_value(found)

    def _find(self, path: str) -> Any:
        if self._document is _NOT_PARSED:
            return self._body if path.strip() == "$" else Absent()
        try:
            return find(self._document, path)
        except JsonPathError as error:
            raise Unknown(str(error)) from error

    def _parameter(self, name: str) -> str:
        """Path before query string before header; header names whatever their case only where sent so."""
        for place in ("path", "querystring", "header"):
            if name in self._parameters[place]:
                return self._parameters[place][name]
        return ""


def java_url_encode(text: str) -> str:
    """`java.net.URLEncoder.encode(text, "UTF-8")`: letters, digits and `.-*_` stay, a space is a plus."""
    return quote_plus(text, safe="*", errors="replace").replace("~", "%7E")


_ESCAPES: Final = {
    '"': '\\"',
    "'": "\\'",
    "/": "\\/",
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def _escape_javascript(text: str) -> str:
    """As commons-lang's StringEscapeUtils.escapeJavaScript: quotes, slash, controls and non-ASCII are escaped."""
    parts: list[str] = []
    for character in text:
        if character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif " " <= character <= "~":
            parts.append(character)
        else:
            units = memoryview(character.encode("utf-16-le", "surrogatepass")).cast("H")
            parts.extend(f"\\u{unit:04X}" for unit in units)
    return "".join(parts)


class UtilVariable:
    """`$util`."""

    def get(self, name: str) -> Any:
        """There are no properties. Raises Unknown."""
        raise Unknown(f"$util has no {name}")

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """One of the six documented functions, with one argument. Raises Unknown."""
        functions = {
            "base64Decode": _base64_decode,
            "base64Encode": _base64_encode,
            "escapeJavaScript": _escape_javascript,
            "parseJson": _parse_json,
            "urlDecode": _url_decode,
            "urlEncode": java_url_encode,
        }
        if name not in functions:
            raise Unknown(f"$util has no method {name}() ({', '.join(functions)} are there)")
        if len(arguments) != 1 or arguments[0] is None:
            raise Unknown(f"$util.{name}() needs one value")
        return functions[name](as_text(arguments[0]))


def _base64_encode(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")


def _base64_decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except binascii.Error as error:
        raise Unknown(f"$util.base64Decode(): {error}") from error


def _url_decode(text: str) -> str:
    return unquote_plus(text)


def _parse_json(text: str) -> Any:
    try:
        return _as_template_value(parse_json(text))
    except MalformedJson as error:
        raise Unknown("$util.parseJson() needs JSON") from error
