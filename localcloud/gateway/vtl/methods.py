"""Properties and methods of values: strings, numbers, lists, maps and the objects API Gateway offers.

Owns which names exist and what arguments they take; a name that is not here is Unknown, never empty text.
Source: https://docs.oracle.com/javase/8/docs/api/java/util/package-summary.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.gateway.vtl.strings import STRING_METHODS
from localcloud.gateway.vtl.values import TemplateObject, Unknown, as_text, compare, equals, kind_of

__all__ = ["Entry", "call_method", "get_index", "get_property", "set_index", "set_property"]

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,10}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_Table = dict[str, tuple[tuple[type, ...], int, Callable[..., Any]]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a map's `entrySet()`."""

    key: Any
    value: Any

    def __str__(self) -> str:
        return f"{as_text(self.key)}={as_text(self.value)}"


def _list_get(values: list[Any], index: int) -> Any:
    if not 0 <= index < len(values):
        raise Unknown(f"get({index}) is outside a list of size {len(values)}")
    return values[index]


def _list_add(values: list[Any], *arguments: Any) -> Any:
    if len(arguments) == 1:
        values.append(arguments[0])
        return True
    position, value = arguments
    if not isinstance(position, int) or not 0 <= position <= len(values):
        raise Unknown(f"add() is outside a list of size {len(values)}")
    values.insert(position, value)
    return ""


def _list_remove(values: list[Any], what: Any) -> Any:
    if isinstance(what, int) and not isinstance(what, bool):
        _list_get(values, what)
        return values.pop(what)
    if what in values:
        values.remove(what)
        return True
    return False


def _list_set(values: list[Any], index: int, value: Any) -> Any:
    old = _list_get(values, index)
    values[index] = value
    return old


def _list_part(values: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(values):
        raise Unknown(f"subList({start}, {end}) is outside a list of size {len(values)}")
    return values[start:end]


def _extend(values: list[Any], more: list[Any]) -> bool:
    values.extend(more)
    return bool(more)


def _clear(values: list[Any] | dict[Any, Any]) -> str:
    values.clear()
    return ""


def _map_put(values: dict[Any, Any], key: Any, value: Any) -> Any:
    """The old value, "" where there was none: a null here would stop the templates that write `$map.put(...)` bare."""
    old = values.get(key)
    values[key] = value
    return "" if old is None else old


def _put_all(values: dict[Any, Any], more: dict[Any, Any]) -> str:
    values.update(more)
    return ""


def _list_contains(values: list[Any], what: object) -> bool:
    return any(equals(what, each) for each in values)


def _list_index(values: list[Any], what: object) -> int:
    return values.index(what) if what in values else -1


def _list_last_index(values: list[Any], what: object) -> int:
    return max((index for index, each in enumerate(values) if equals(what, each)), default=-1)


def _contains_all(values: list[Any], others: list[Any]) -> bool:
    return all(_list_contains(values, each) for each in others)


def _keep(values: list[Any], others: list[Any], *, wanted: bool) -> bool:
    kept = [each for each in values if _list_contains(others, each) is wanted]
    changed = len(kept) != len(values)
    values[:] = kept
    return changed


def _remove_all(values: list[Any], others: list[Any]) -> bool:
    return _keep(values, others, wanted=False)


def _retain_all(values: list[Any], others: list[Any]) -> bool:
    return _keep(values, others, wanted=True)


def _put_if_absent(values: dict[Any, Any], key: Any, value: Any) -> Any:
    """The value that is there, "" where the new one was taken."""
    old = values.get(key)
    if old is None:
        values[key] = value
    return "" if old is None else old


def _parse_int(_: object, text: str) -> int:
    """`Integer.parseInt`, which templates reach through any number: `#set($Integer = 0)`."""
    if not _WHOLE.fullmatch(text):
        raise Unknown("parseInt() needs a whole number")
    return int(text)


def _parse_double(_: object, text: str) -> float:
    if not _DECIMAL.fullmatch(text.strip()):
        raise Unknown("parseDouble() needs a number")
    return float(text)


def _is_empty(values: list[Any] | dict[Any, Any]) -> bool:
    return not values


def _has_key(values: dict[Any, Any], key: object) -> bool:
    return key in values


def _has_value(values: dict[Any, Any], what: object) -> bool:
    return what in values.values()


def _map_get(values: dict[Any, Any], key: Any, default: Any = None) -> Any:
    return values.get(key, default)


def _map_remove(values: dict[Any, Any], key: Any) -> Any:
    return values.pop(key, None)


def _entries(values: dict[Any, Any]) -> list[Entry]:
    return [Entry(key, value) for key, value in values.items()]


def _map_values(values: dict[Any, Any]) -> list[Any]:
    return list(values.values())


def _number_compare(number: float, other: object) -> int:
    return int(compare(">", number, other)) - int(compare("<", number, other))


def _same_value(value: object, other: object) -> bool:
    return type(value) is type(other) and value == other


_LIST: Final[_Table] = {
    "add": ((object, object), 1, _list_add),
    "addAll": ((list,), 0, _extend),
    "clear": ((), 0, _clear),
    "contains": ((object,), 0, _list_contains),
    "containsAll": ((list,), 0, _contains_all),
    "equals": ((object,), 0, _same_value),
    "get": ((int,), 0, _list_get),
    "indexOf": ((object,), 0, _list_index),
    "isEmpty": ((), 0, _is_empty),
    "lastIndexOf": ((object,), 0, _list_last_index),
    "remove": ((object,), 0, _list_remove),
    "removeAll": ((list,), 0, _remove_all),
    "retainAll": ((list,), 0, _retain_all),
    "set": ((int, object), 0, _list_set),
    "size": ((), 0, len),
    "subList": ((int, int), 0, _list_part),
    "toArray": ((), 0, list),
    "toString": ((), 0, as_text),
}
_MAP: Final[_Table] = {
    "clear": ((), 0, _clear),
    "containsKey": ((object,), 0, _has_key),
    "containsValue": ((object,), 0, _has_value),
    "entrySet": ((), 0, _entries),
    "equals": ((object,), 0, _same_value),
    "get": ((object,), 0, _map_get),
    "getOrDefault": ((object, object), 0, _map_get),
    "isEmpty": ((), 0, _is_empty),
    "keySet": ((), 0, list),
    "put": ((object, object), 0, _map_put),
    "putAll": ((dict,), 0, _put_all),
    "putIfAbsent": ((object, object), 0, _put_if_absent),
    "remove": ((object,), 0, _map_remove),
    "size": ((), 0, len),
    "toString": ((), 0, as_text),
    "values": ((), 0, _map_values),
}
_NUMBER: Final[_Table] = {
    "compareTo": ((object,), 0, _number_compare),
    "doubleValue": ((), 0, float),
    "equals": ((object,), 0, _same_value),
    "floatValue": ((), 0, float),
    "intValue": ((), 0, int),
    "longValue": ((), 0, int),
    "parseDouble": ((str,), 0, _parse_double),
    "parseInt": ((str,), 0, _parse_int),
    "parseLong": ((str,), 0, _parse_int),
    "toString": ((), 0, as_text),
}
_BOOLEAN: Final[_Table] = {
    "booleanValue": ((), 0, bool),
    "equals": ((object,), 0, _same_value),
    "toString": ((), 0, as_text),
}


def _entry_key(entry: Entry) -> Any:
    return entry.key


def _entry_value(entry: Entry) -> Any:
    return entry.value


_ENTRY: Final[_Table] = {
    "getKey": ((), 0, _entry_key),
    "getValue": ((), 0, _entry_value),
    "toString": ((), 0, as_text),
}
_TABLES: Final[tuple[tuple[type | tuple[type, ...], str, _Table], ...]] = (
    (str, "a string", STRING_METHODS),
    (bool, "a boolean", _BOOLEAN),
    ((int, float), "a number", _NUMBER),
    (dict, "a map", _MAP),
    (list, "a list", _LIST),
    (Entry, "a map's entry", _ENTRY),
)


def _table_of(value: Any) -> tuple[str, _Table]:
    for kind, name, table in _TABLES:
        if isinstance(value, kind):
            return name, table
    raise Unknown("the value has no methods")


def call_method(value: Any, name: str, arguments: Sequence[Any]) -> Any:
    """`value.name(arguments)`. Raises Unknown for a method, a number or a type of arguments that Java has not."""
    if isinstance(value, TemplateObject) and not isinstance(value, dict):
        return value.call(name, arguments)
    kind, table = _table_of(value)
    if name not in table:
        raise Unknown(f"{kind} has no method {name}() here")
    types, optional, method = table[name]
    if not len(types) - optional <= len(arguments) <= len(types):
        raise Unknown(f"{name}() of {kind} does not take {len(arguments)} arguments")
    for expected, argument in zip(types, arguments, strict=False):
        if not isinstance(argument, expected) or (expected is int and isinstance(argument, bool)):
            raise Unknown(f"{name}() of {kind} does not take {kind_of(argument)} there")
    return method(value, *arguments)


def get_property(value: Any, name: str) -> Any:
    """`value.name`: a map's entry, else the getter. Raises Unknown; None is a map without the entry."""
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        return entries[name] if name in entries else {"empty": not entries or None}.get(name)
    if isinstance(value, TemplateObject):
        return value.get(name)
    if isinstance(value, Entry) and name in {"key", "value"}:
        return value.key if name == "key" else value.value
    if name == "empty" and isinstance(value, (str, list)):
        return not value
    kind, _ = _table_of(value)
    raise Unknown(f"{kind} has no property {name}")


def get_index(value: Any, key: Any) -> Any:
    """`value[key]`. Raises Unknown."""
    if isinstance(value, list):
        return call_method(value, "get", [_from_end(cast("list[Any]", value), key)])
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value).get(key)
    if isinstance(value, TemplateObject) and isinstance(key, str):
        return value.get(key)
    raise Unknown(f"[...] needs a list or a map, not {kind_of(value)}")


def _from_end(values: list[Any], key: Any) -> Any:
    return key + len(values) if isinstance(key, int) and key < 0 else key


def set_property(value: Any, name: str, new: Any) -> None:
    """`#set($value.name = new)`. Raises Unknown."""
    if not isinstance(value, dict):
        raise Unknown(f".{name} can be set on a map only")
    cast("dict[Any, Any]", value)[name] = new


def set_index(value: Any, key: Any, new: Any) -> None:
    """`#set($value[key] = new)`. Raises Unknown."""
    if isinstance(value, list):
        call_method(value, "set", [_from_end(cast("list[Any]", value), key), new])
    elif isinstance(value, dict):
        cast("dict[Any, Any]", value)[key] = new
    else:
        raise Unknown("[...] can be set on a list or a map only")
