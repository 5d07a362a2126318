"""What an intrinsic function can see: parameters, pseudo parameters, mappings, conditions, resources, exports.

Owns lookups and the lazy, cycle-safe truth of conditions. Knows nothing of how functions are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, StackContext
from localcloud.template.parameters import ParameterValue

__all__ = ["NO_VALUE", "NotYet", "Scope", "pseudo_parameters"]


class _NoValue:
    """`AWS::NoValue`: the property, key or item that has it is left out."""

    def __repr__(self) -> str:
        return "AWS::NoValue"


NO_VALUE: Final = _NoValue()

URL_SUFFIXES: Final = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}


class NotYet(Exception):
    """A resource, or an export, that does not exist yet was asked for. `logical_id` names it."""

    def __init__(self, logical_id: str) -> None:
        super().__init__(logical_id)
        self.logical_id = logical_id


def pseudo_parameters(context: StackContext, *, notification_arns: tuple[str, ...] = ()) -> dict[str, Any]:
    """The pseudo parameters of a stack.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/pseudo-parameter-reference.html
    """
    stack = f"stack/{context.stack_name}/00000000-0000-0000-0000-000000000000"
    return {
        "AWS::AccountId": context.account_id,
        "AWS::NoValue": NO_VALUE,
        "AWS::NotificationARNs": list(notification_arns),
        "AWS::Partition": context.partition,
        "AWS::Region": context.region,
        "AWS::StackId": f"arn:{context.partition}:cloudformation:{context.region}:{context.account_id}:{stack}",
        "AWS::StackName": context.stack_name,
        "AWS::URLSuffix": URL_SUFFIXES.get(context.partition, "amazonaws.com"),
    }


@dataclass(slots=True)
class Scope:
    """Everything a value may refer to.

    `resources`: every logical id of the stack whose condition holds, and its type. `physical`: those made so far.
    `secrets` answers a dynamic reference by (service, key), None where there is none to ask. `extensions`: the
    template declares `AWS::LanguageExtensions`. `growing`: nested stacks may add to `exports`.
    """

    context: StackContext
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict[str, ParameterValue])
    mappings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resources: Mapping[str, str] = field(default_factory=dict[str, str])
    physical: Mapping[str, Physical] = field(default_factory=dict[str, Physical])
    exports: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Callable[[str, str], str] | None = None
    extensions: bool = False
    growing: bool = False
    _pseudo: dict[str, Any] = field(init=False)
    _truth: dict[str, bool | None] = field(init=False, default_factory=dict[str, "bool | None"])

    def __post_init__(self) -> None:
        self._pseudo = pseudo_parameters(self.context)

    def reference(self, name: str, path: str) -> Any:
        """What `Ref` gives. Raises TemplateError for an unknown name, NotYet for a resource still to be made."""
        if name in self.parameters:
            return self.parameters[name]
        if name in self._pseudo:
            return self._pseudo[name]
        return self._made(name, path).ref

    def attribute(self, name: str, attribute: str, path: str) -> Any:
        """What `Fn::GetAtt` gives. Raises TemplateError for an unknown resource or attribute, NotYet as above."""
        if name not in self.resources and (name in self.parameters or name in self._pseudo):
            raise TemplateError(f"{name} is a parameter, it has no attribute {attribute}", where=path)
        physical = self._made(name, path)
        if attribute not in physical.attributes:
            known = ", ".join(sorted(physical.attributes)) or "none"
            raise TemplateError(
                f"{name} ({self.resources[name]}) has no attribute {attribute} here (known: {known})", where=path
            )
        return physical.attributes[attribute]

    def _made(self, name: str, path: str) -> Physical:
        if name not in self.resources:
            raise TemplateError(f"{name} is no parameter, and no resource of this stack", where=path)
        if name not in self.physical:
            raise NotYet(name)
        return self.physical[name]

    def condition(self, name: str, path: str, evaluate: Callable[[Any, Scope, str], bool]) -> bool:
        """Whether the named condition holds; `evaluate` reads its expression once. Raises TemplateError (a circle)."""
        if name not in self.conditions:
            raise TemplateError(f"there is no condition {name}", where=path)
        if name not in self._truth:
            self._truth[name] = None
            try:
                self._truth[name] = evaluate(self.conditions[name], self, f"Conditions.{name}")
            finally:
                if self._truth[name] is None:
                    del self._truth[name]
        truth = self._truth[name]
        if truth is None:
            raise TemplateError(f"the condition {name} depends on itself", where=path)
        return truth

    def mapped(self, keys: tuple[str, str, str], path: str) -> Any:
        """`Fn::FindInMap`: the value, or None where the map, the top key or the second key is missing."""
        value: Any = self.mappings
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]  # pyright: ignore[reportUnknownVariableType] - a map of the template, checked above
        if isinstance(value, Mapping):
            raise TemplateError("a map may hold text and lists only", where=path)
        return value  # pyright: ignore[reportUnknownVariableType] - as above
