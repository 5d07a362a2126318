"""CloudFormation's quotas of a template that no other module holds, and how many stacks one deployment makes. Pure.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path

__all__ = ["MAX_STACKS", "StackRoom", "check_quotas"]

MAX_DESCRIPTION_BYTES: Final = 1024
MAX_MAPPINGS: Final = 200
MAX_ATTRIBUTES: Final = 200  # of one mapping
MAX_NAME_CHARS: Final = 255  # of mappings and their attributes, parameters, outputs and resources
MAX_STACKS: Final = 2000  # of an account in a Region


class StackRoom:
    """How many more stacks there may be: one template may name another many times, and that one others."""

    def __init__(self) -> None:
        self._left = MAX_STACKS - 1

    def take(self, where: str) -> None:
        """One more. Raises TemplateError."""
        if not self._left:
            raise TemplateError(f"is one more than the {MAX_STACKS} stacks that an account may have", where=where)
        self._left -= 1


def check_quotas(body: Mapping[str, Any]) -> None:
    """Hold a template against CloudFormation's quotas. Raises TemplateError."""
    description: Any = body.get("Description")
    if description is not None and not isinstance(description, str):
        raise TemplateError("must be text", where="Description")
    if description and len(description.encode("utf-8", "surrogatepass")) > MAX_DESCRIPTION_BYTES:
        raise TemplateError(f"has more than {MAX_DESCRIPTION_BYTES} bytes", where="Description")
    for section in ("Mappings", "Outputs", "Parameters", "Resources"):
        _check_names(body.get(section), section)
    _check_count(body.get("Mappings"), MAX_MAPPINGS, "Mappings")
    for name, mapping in _entries(body.get("Mappings")).items():
        where = join_path("Mappings", name)
        _check_count(mapping, MAX_ATTRIBUTES, where)
        for key, attributes in _entries(mapping).items():
            _check_names(attributes, join_path(where, key))
        _check_names(mapping, where)


def _check_count(value: Any, most: int, where: str) -> None:
    count = len(_entries(value))
    if count > most:
        raise TemplateError(f"has {count} entries, CloudFormation takes {most}", where=where)


def _check_names(value: Any, where: str) -> None:
    for name in _entries(value):
        if len(name) > MAX_NAME_CHARS:
            raise TemplateError(f"the name {name[:40]}... has more than {MAX_NAME_CHARS} characters", where=where)


def _entries(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
