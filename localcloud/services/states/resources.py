"""CloudFormation's `AWS::StepFunctions::StateMachine` over the model, and the handlers of all of its types.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachine.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from localcloud.services.states.activity_resources import ActivityHandler
from localcloud.services.states.definition import read_definition
from localcloud.services.states.errors import StatesError
from localcloud.services.states.model import StateMachines
from localcloud.services.states.version_resources import StateMachineAliasHandler, StateMachineVersionHandler
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties, scalar_text

__all__ = ["StateMachineHandler", "state_machine_handlers"]

MAX_NAME_CHARS: Final = 80
_SERVED: Final = Supported()
_PLACE: Final = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_FORMS: Final = ("Definition", "DefinitionS3Location", "DefinitionString")


def state_machine_handlers(machines: StateMachines) -> Iterator[ResourceHandler]:
    """The handlers of Step Functions' resource types."""
    yield StateMachineHandler(machines)
    yield ActivityHandler(machines)
    yield StateMachineVersionHandler(machines)
    yield StateMachineAliasHandler(machines)


class StateMachineHandler:
    """`AWS::StepFunctions::StateMachine`. Ref is the ARN; attributes Arn, Name and StateMachineRevisionId."""

    type: str = "AWS::StepFunctions::StateMachine"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Definition": _SERVED,
        "DefinitionS3Location": Supported(reason="a file beside the template, JSON or YAML"),
        "DefinitionString": _SERVED,
        "DefinitionSubstitutions": _SERVED,
        "EncryptionConfiguration": Supported(Support.REFUSED, "customer managed keys of machines are not served here"),
        "LoggingConfiguration": _SERVED,
        "RoleArn": _SERVED,
        "StateMachineName": _SERVED,
        "StateMachineType": Supported(reason="the types of state machines", values=("STANDARD", "EXPRESS")),
        "Tags": _SERVED,
        "TracingConfiguration": Supported(Support.PARTIAL, "recorded; states have no segments in traces here"),
    }

    def __init__(self, machines: StateMachines) -> None:
        self._machines = machines

    async def create(self, resource: Resource) -> Physical:
        """Make the machine. Raises TemplateError where its properties or its definition make no sense."""
        read, context = read_properties(resource), resource.context
        field, text = _read_text(read, resource)
        values: dict[str, Any] = {
            "name": read.text("StateMachineName", f"{context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS]),
            "definition": text,
            "roleArn": read.text("RoleArn"),
            "type": read.choice("StateMachineType", ("STANDARD", "EXPRESS"), "STANDARD"),
            "tags": read.tags(),
            "loggingConfiguration": _read_logs(read.nested("LoggingConfiguration")),
            "tracingConfiguration": {"enabled": read.nested("TracingConfiguration").flag("Enabled", default=False)},
        }
        try:
            read_definition(text, values["type"])
            machine, made = self._machines.create(values, context.region)
        except StatesError as error:
            place = field if error.code == "InvalidDefinition" else ""
            raise read.error(place, error.message) from error
        if not made:
            raise read.error("StateMachineName", f"State Machine Already Exists: '{machine.revision.arn}'")
        revision = machine.revision
        return Physical(
            revision.arn,
            {"Arn": revision.arn, "Name": revision.name, "StateMachineRevisionId": revision.revision_id},
        )

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the ARN says it all
        """Stop what runs of the machine and forget it."""
        self._machines.delete(physical.ref)


def _read_text(read: Properties, resource: Resource) -> tuple[str, str]:
    """The definition with its substitutions, and the property that it stands in."""
    given = [name for name in _FORMS if name in read]
    if len(given) != 1:
        raise read.error("", f"exactly one of {', '.join(_FORMS)} is needed")
    field = given[0]
    if field == "DefinitionString":
        text = read.text(field)
    elif field == "Definition":
        text = json_text(read.mapping(field))
    else:
        text = _read_file(read, resource)
    return field, _substitute(text, read)


def _read_file(read: Properties, resource: Resource) -> str:
    field = "DefinitionS3Location"
    path = resource.context.base / read.text(field)
    try:
        text = path.read_text()
        return text if path.suffix not in {".yaml", ".yml"} else json.dumps(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise read.error(field, f"cannot be read: {error}") from error


def _substitute(text: str, read: Properties) -> str:
    field = "DefinitionSubstitutions"
    values: dict[str, str] = {}
    for name, value in read.mapping(field).items():
        shown = scalar_text(value)
        if shown is None:
            raise read.error(f"{field}.{name}", "must be text")
        values[name] = shown
    return _PLACE.sub(lambda found: json.dumps(values[found[1]])[1:-1] if found[1] in values else found[0], text)


def _read_logs(read: Properties) -> dict[str, Any]:
    """LoggingConfiguration as the API has it."""
    if not read.values:
        return {}
    destinations = [
        {"cloudWatchLogsLogGroup": {"logGroupArn": each.nested("CloudWatchLogsLogGroup").text("LogGroupArn")}}
        for each in read.each("Destinations")
    ]
    level = read.choice("Level", ("ALL", "ERROR", "FATAL", "OFF"), "OFF")
    if level != "OFF" and len(destinations) != 1:
        raise read.error("Destinations", "exactly one log group is needed")
    return {
        "level": level,
        "includeExecutionData": read.flag("IncludeExecutionData", default=False),
        "destinations": destinations,
    }
