"""What an alias may be: its name, the versions that it points at, their weights. Raises Lambda's own refusals.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.compute.function import LATEST
from localcloud.compute.versions import Alias, FunctionRecord
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, no_such_function, refused

__all__ = ["alias_arn", "find_alias", "make_alias"]

_NAME: Final = re.compile(r"(?![0-9]+$)[a-zA-Z0-9-_]{1,128}", re.ASCII)
_VERSION: Final = re.compile(r"\$LATEST|[0-9]{1,1024}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,1024}", re.ASCII)
MAX_DESCRIPTION: Final = 256  # CreateAlias: Description
_WEIGHT: Final = (
    "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value "
    "greater than or equal to 0.0, Member must not be null]"
)
_KEY: Final = (
    "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length "
    "greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"
)


def alias_arn(record: FunctionRecord, name: str) -> str:
    """The ARN of an alias."""
    return f"{record.spec.arn}:{name}"


def find_alias(record: FunctionRecord, name: str) -> Alias:
    """The alias of this name. Raises LambdaError ResourceNotFoundException."""
    alias = record.aliases.get(name)
    if alias is None:
        text = f"Cannot find alias arn: {alias_arn(record, name)}"
        raise LambdaError("ResourceNotFoundException", text, 404, message_key="Message")
    return alias


def make_alias(record: FunctionRecord, alias: Alias) -> Alias:
    """`alias`, where the function can have it. Raises LambdaError."""
    if not _NAME.fullmatch(alias.name):
        raise bad_constraint(
            "Name", alias.name, r"Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
        )
    if not _VERSION.fullmatch(alias.version):
        constraint = r"Member must satisfy regular expression pattern: (\$LATEST|[0-9]+)"
        raise bad_constraint("FunctionVersion", alias.version, constraint)
    if len(alias.description) > MAX_DESCRIPTION:
        constraint = f"Member must have length less than or equal to {MAX_DESCRIPTION}"
        raise bad_constraint("Description", alias.description, constraint)
    if record.find(alias.version) is None:
        raise no_such_function(f"{record.spec.arn}:{alias.version}")
    _check_weights(record, alias.version, alias.weights)
    return alias


def _check_weights(record: FunctionRecord, version: str, weights: Mapping[str, float]) -> None:
    if len(weights) > 1:
        raise refused("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for other, weight in weights.items():
        shown = f"{{{other}={weight}}}"
        if not 0.0 <= weight < 1.0:
            raise bad_constraint("RoutingConfig.additionalVersionWeights", shown, _WEIGHT)
        if other == version:
            raise refused(
                f"Invalid function version {version}. Function version {version} is already included in routing "
                "configuration."
            )
        if LATEST in {version, other}:
            raise refused("$LATEST is not supported for an alias pointing to more than 1 version")
        if not _NUMBER.fullmatch(other):
            raise bad_constraint("RoutingConfig.additionalVersionWeights", shown, _KEY)
        if record.find(other) is None:
            raise no_such_function(f"{record.spec.arn}:{other}")
