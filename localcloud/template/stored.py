"""Parameters whose value is kept elsewhere: `AWS::SSM::Parameter::Value<...>`, read before a stack is prepared.

Owns what counts where nothing is kept under a name. Who reads the Parameter Store is a port.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from localcloud.template.errors import TemplateError
from localcloud.template.parameters import read_parameters
from localcloud.template.source import Source

__all__ = ["ReadParameter", "read_stored"]

ReadParameter: TypeAlias = Callable[[str], Awaitable[str]]
"""The value of an SSM parameter by its name; a list has commas. Raises TemplateError."""


async def read_stored(source: Source, given: Mapping[str, str], read: ReadParameter) -> Callable[[str], str] | None:
    """What `Settled.stored` is for this template: every value that its parameters name; None where none names one.

    A value that was given, and that names no parameter, is taken for the value itself unless it begins with `/`: there
    is no account here that could hold it. Raises TemplateError that says so.
    """
    names: dict[str, str] = {}
    for parameter in read_parameters(source.body).values():
        name = given.get(parameter.name, parameter.default)
        if parameter.is_stored and name is not None and name not in names:
            names[name] = await _read(parameter.name, name, read, is_given=parameter.name in given)
    return names.__getitem__ if names else None


async def _read(parameter: str, name: str, read: ReadParameter, *, is_given: bool) -> str:
    try:
        return await read(name)
    except TemplateError as error:
        if is_given and not name.startswith("/"):
            return name
        said = f"{error.detail}; give the value itself: --parameter-overrides {parameter}=VALUE"
        raise TemplateError(said, where=f"Parameters.{parameter}") from error
