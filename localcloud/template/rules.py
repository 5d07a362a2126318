"""The Rules of a template: what its parameters must be together, said before anything is made.

Owns which functions a rule may have: those that compare, and `Ref` for what is compared. Any other is refused by name,
those that CloudFormation refuses there and those that are not served. Must not know resources or conditions. Sources:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html and
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.intrinsics import find_function, resolve
from localcloud.template.scope import Scope

__all__ = ["check_rules"]

_MEMBERS: Final = frozenset({"Assertions", "RuleCondition"})
_OF_AN_ASSERTION: Final = frozenset({"Assert", "AssertDescription"})
_OF_ACCOUNTS: Final = frozenset({"Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"})  # they ask for what an account has


def check_rules(rules: Mapping[str, Any], scope: Scope) -> None:
    """Raises TemplateError for an assertion that does not hold, in its own words, and for what is no rule."""
    bare = replace(scope, resources={}, conditions={})  # a rule sees parameters only
    for name, rule in rules.items():
        path = f"Rules.{name}"
        members = _members(rule, path, _MEMBERS)
        condition = members.get("RuleCondition")
        if condition is not None and not _holds(condition, bare, f"{path}.RuleCondition"):
            continue
        assertions = members.get("Assertions")
        if not isinstance(assertions, list) or not assertions:
            raise TemplateError("needs a list of assertions", where=f"{path}.Assertions")
        for index, given in enumerate(cast("list[Any]", assertions)):
            where = f"{path}.Assertions.{index}"
            assertion = _members(given, where, _OF_AN_ASSERTION)
            if "Assert" not in assertion:
                raise TemplateError("is needed", where=f"{where}.Assert")
            if not _holds(assertion["Assert"], bare, f"{where}.Assert"):
                said = assertion.get("AssertDescription", "the parameters do not fit together")
                raise TemplateError(str(said), where=where)


def _members(given: Any, path: str, known: frozenset[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise TemplateError("must be a map", where=path)
    members = cast("dict[str, Any]", given)
    if unknown := sorted(set(members) - known):
        raise TemplateError(f"{unknown[0]} is no member of it", where=path)
    return members


def _holds(given: Any, scope: Scope, path: str) -> bool:
    """The truth of a rule's function."""
    if not isinstance(given, dict) or len(cast("dict[str, Any]", given)) != 1:
        raise TemplateError("must be one rule function", where=path)
    name, argument = next(iter(cast("dict[str, Any]", given).items()))
    where = join_path(path, name)
    _refuse_accounts(name, where)
    if name == "Fn::Not":
        return not _holds(_arguments(argument, where, low=1, high=1)[0], scope, join_path(where, 0))
    if name in {"Fn::And", "Fn::Or"}:
        parts = _arguments(argument, where, low=2, high=10)
        found = [_holds(part, scope, join_path(where, index)) for index, part in enumerate(parts)]
        return all(found) if name == "Fn::And" else any(found)
    compare = _COMPARISONS.get(name)
    if compare is None:
        raise TemplateError(f"{name} is no rule function", where=where)
    left, right = (
        _compared(part, scope, join_path(where, index))
        for index, part in enumerate(_arguments(argument, where, low=2, high=2))
    )
    return compare(left, right)


def _compared(given: Any, scope: Scope, path: str) -> Any:
    """What a comparison looks at: a text, a list, or a parameter's value."""
    for index, part in enumerate(cast("list[Any]", given) if isinstance(given, list) else [given]):
        name, _ = find_function(part) or ("A map" if isinstance(part, dict) else "Ref", None)
        where = join_path(path, index) if isinstance(given, list) else path
        _refuse_accounts(name, where)
        if name != "Ref":
            raise TemplateError(f"{name} is not served in a rule's comparison, Ref is", where=where)
    return resolve(given, scope, path)


def _refuse_accounts(name: str, path: str) -> None:
    if name in _OF_ACCOUNTS:
        raise TemplateError(f"{name} asks an account for what is in it, and is not served here", where=path)


def _arguments(argument: Any, path: str, *, low: int, high: int) -> list[Any]:
    if not isinstance(argument, list) or not low <= len(cast("list[Any]", argument)) <= high:
        raise TemplateError(f"takes a list of {low} to {high}" if low < high else f"takes a list of {low}", where=path)
    return cast("list[Any]", argument)


def _texts(value: Any) -> list[str]:
    """A list's members, or one value alone, as text: numbers of parameters are text."""
    members: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [str(member) for member in members]


def _has_all(members: Any, value: Any) -> bool:
    return set(_texts(value)) <= set(_texts(members))


def _are_in(members: Any, others: Any) -> bool:
    return set(_texts(members)) <= set(_texts(others))


def _is_same(left: Any, right: Any) -> bool:
    return _texts(left) == _texts(right)


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "Fn::Contains": _has_all,
    "Fn::EachMemberEquals": _are_in,
    "Fn::EachMemberIn": _are_in,
    "Fn::Equals": _is_same,
}
