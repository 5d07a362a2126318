"""Forms of the Query protocol as trees: `Tags.member.1.Key=a` is the text `a` in Tags, member, 1, Key. Pure.

Which branches are lists and which are maps is for each service to say.
Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import parse_qsl

__all__ = ["FormTree", "MalformedForm", "read_tree"]

FormTree: TypeAlias = "dict[str, FormTree | str]"


class MalformedForm(ValueError):
    """The text is no form that a service takes; `code` is what Query APIs call it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_tree(text: str, *, max_fields: int, max_depth: int) -> FormTree:
    """The fields of a form, at most `max_fields`, by the parts of their names, at most `max_depth` each.

    Raises MalformedForm: MalformedQueryString, MalformedInput.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=max_fields)
    except ValueError as error:
        raise MalformedForm("MalformedQueryString", "The query string contains a syntax error.") from error
    tree: FormTree = {}
    for name, value in pairs:
        path = name.split(".")
        if len(path) > max_depth:
            message = "The query string contains a parameter name that is nested too deeply."
            raise MalformedForm("MalformedQueryString", message)
        _plant(tree, path, value)
    return tree


def _plant(tree: FormTree, path: list[str], value: str) -> None:
    for part in path[:-1]:
        branch = tree.setdefault(part, {})
        if isinstance(branch, str):
            raise _two_kinds(path)
        tree = branch
    if isinstance(tree.get(path[-1]), dict):
        raise _two_kinds(path)
    tree[path[-1]] = value


def _two_kinds(path: list[str]) -> MalformedForm:
    return MalformedForm("MalformedInput", f"{'.'.join(path)} is given both as a value and as a structure.")
