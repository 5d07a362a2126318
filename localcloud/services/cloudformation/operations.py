"""What CloudFormation's API tells: nine operations that read. A stack is changed by its template and another start.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

from localcloud.services.cloudformation.errors import CloudFormationError
from localcloud.services.cloudformation.model import Event, StackRecord, Stacks
from localcloud.services.pages import MalformedToken, cut_page
from localcloud.services.query_form import FormTree

__all__ = ["ACTIONS", "Call"]

T = TypeVar("T")

PAGE: Final = 100  # ours, of each list: the API's pages have 1 MB, those of ListExports 100
_NOT_CHECKED: Final = {"StackDriftStatus": "NOT_CHECKED"}
_RESOURCE_NOT_CHECKED: Final = {"StackResourceDriftStatus": "NOT_CHECKED"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `show` gives an output as it is reached here."""

    stacks: Stacks
    parameters: Mapping[str, FormTree | str]
    show: Callable[[str], str]

    def text(self, name: str) -> str:
        """A parameter's text, "" where absent. Raises CloudFormationError."""
        value = self.parameters.get(name, "")
        if not isinstance(value, str):
            raise CloudFormationError("MalformedInput", f"{name} must be text")
        return value

    def required(self, name: str) -> str:
        """A parameter's text. Raises CloudFormationError where it is absent."""
        value = self.text(name)
        if not value:
            raise _invalid(f"1 validation error detected: Value null at '{_lower(name)}' failed to satisfy constraint: "
                           "Member must not be null")  # fmt: skip
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts, [] where absent. Raises CloudFormationError."""
        value = self.parameters.get(name, "")
        members = value.get("member") if isinstance(value, dict) else value
        if members == "":
            return []
        if not isinstance(members, dict) or not all(isinstance(each, str) for each in members.values()):
            raise CloudFormationError("MalformedInput", f"{name} must be a list of texts")
        return [cast("str", members[key]) for key in sorted(members)]

    def page(self, items: Sequence[T]) -> tuple[list[T], dict[str, str]]:
        """The page that NextToken leads to, and the member with the next one's. Raises CloudFormationError."""
        numbered = list(enumerate(items))
        try:
            page, token = cut_page(numbered, lambda entry: f"{entry[0]:08}", token=self.text("NextToken"), most=PAGE)
        except MalformedToken as error:
            raise _invalid("Invalid NextToken") from error
        return [item for _, item in page], {"NextToken": token} if token else {}


def _invalid(message: str) -> CloudFormationError:
    return CloudFormationError("ValidationError", message)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _describe_stacks(call: Call) -> dict[str, Any]:
    name = call.text("StackName")
    found = [call.stacks.get(name)] if name else [each for each in call.stacks.all() if not _is_gone(each)]
    page, more = call.page(found)
    return {"Stacks": [_describe_stack(record, call.show) for record in page], **more}


def _is_gone(record: StackRecord) -> bool:
    return record.status == "DELETE_COMPLETE"


def _describe_stack(record: StackRecord, show: Callable[[str], str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "StackId": record.stack_id,
        "StackName": record.name,
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value if isinstance(value, str) else ",".join(value)}
            for name, value in record.stack.parameters.items()
        ],
        "CreationTime": _date(record.created_s),
        "RollbackConfiguration": {},
        "StackStatus": record.status,
        "DisableRollback": False,
        "NotificationARNs": [],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Outputs": [_describe_output(record, name, show(value)) for name, value in record.outputs.items()],
        "Tags": [],
        "EnableTerminationProtection": False,
        "DriftInformation": _NOT_CHECKED,
    }
    if record.stack.source.body.get("Description"):
        told["Description"] = str(record.stack.source.body["Description"])
    return {**told, **_around(record)}


def _around(record: StackRecord) -> dict[str, str]:
    """What a nested stack is inside of."""
    return {"ParentId": record.parent_id, "RootId": record.root_id} if record.parent_id else {}


def _describe_output(record: StackRecord, name: str, value: str) -> dict[str, str]:
    declared = cast("dict[str, Any]", record.stack.graph.outputs[name])
    told = {"OutputKey": name, "OutputValue": value}
    if declared.get("Description"):
        told["Description"] = str(declared["Description"])
    if name in record.exported:
        told["ExportName"] = record.exported[name]
    return told


def _list_stacks(call: Call) -> dict[str, Any]:
    wanted = call.texts("StackStatusFilter")
    page, more = call.page([each for each in call.stacks.all() if not wanted or each.status in wanted])
    return {"StackSummaries": [_summarise_stack(record) for record in page], **more}


def _summarise_stack(record: StackRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        "StackId": record.stack_id,
        "StackName": record.name,
        "CreationTime": _date(record.created_s),
        "StackStatus": record.status,
        "DriftInformation": _NOT_CHECKED,
    }
    if record.stack.source.body.get("Description"):
        told["TemplateDescription"] = str(record.stack.source.body["Description"])
    if _is_gone(record):
        told["DeletionTime"] = _date(record.ended_s)
    return {**told, **_around(record)}


def _describe_resources(call: Call) -> dict[str, Any]:
    record = _of_resource(call)
    wanted = call.text("LogicalResourceId")
    if wanted and wanted not in record.latest:
        raise _no_resource(wanted, record)
    events = [event for name, event in record.latest.items() if wanted in ("", name)]
    named = {"StackId": record.stack_id, "StackName": record.name}
    return {"StackResources": [{**named, **_describe_resource(event, "Timestamp")} for event in events[:PAGE]]}


def _of_resource(call: Call) -> StackRecord:
    """The stack that is named, or the one in which something physical is."""
    name, physical_id = call.text("StackName"), call.text("PhysicalResourceId")
    if bool(name) == bool(physical_id):
        raise _invalid("Exactly one of StackName and PhysicalResourceId is needed")
    if name:
        return call.stacks.get(name)
    for record in call.stacks.all():
        if any(event.step.physical_id == physical_id for event in record.latest.values()):
            return record
    raise _invalid(f"Stack for {physical_id} does not exist")


def _no_resource(logical_id: str, record: StackRecord) -> CloudFormationError:
    return _invalid(f"Resource {logical_id} does not exist for stack {record.name}")


def _describe_resource(event: Event, dated: str) -> dict[str, Any]:
    step = event.step
    told: dict[str, Any] = {
        "LogicalResourceId": step.logical_id,
        "ResourceType": step.type,
        dated: _date(event.at_s),
        "ResourceStatus": step.status,
        "DriftInformation": _RESOURCE_NOT_CHECKED,
    }
    if step.physical_id:
        told["PhysicalResourceId"] = step.physical_id
    if step.reason:
        told["ResourceStatusReason"] = step.reason
    return told


def _describe_one_resource(call: Call) -> dict[str, Any]:
    record = call.stacks.get(call.required("StackName"))
    logical_id = call.required("LogicalResourceId")
    if logical_id not in record.latest:
        raise _no_resource(logical_id, record)
    named = {"StackId": record.stack_id, "StackName": record.name}
    return {"StackResourceDetail": {**named, **_describe_resource(record.latest[logical_id], "LastUpdatedTimestamp")}}


def _list_resources(call: Call) -> dict[str, Any]:
    record = call.stacks.get(call.required("StackName"))
    page, more = call.page(list(record.latest.values()))
    return {"StackResourceSummaries": [_describe_resource(event, "LastUpdatedTimestamp") for event in page], **more}


def _describe_events(call: Call) -> dict[str, Any]:
    record = call.stacks.get(call.required("StackName"))
    page, more = call.page(list(reversed(record.events)))
    return {"StackEvents": [_describe_event(event, record) for event in page], **more}


def _describe_event(event: Event, record: StackRecord) -> dict[str, Any]:
    told = _describe_resource(event, "Timestamp")
    del told["DriftInformation"]
    return {"StackId": record.stack_id, "EventId": event.event_id, "StackName": record.name, **told}


def _list_exports(call: Call) -> dict[str, Any]:
    page, more = call.page(list(call.stacks.exports()))
    exports = [{"ExportingStackId": owner, "Name": name, "Value": call.show(value)} for owner, name, value in page]
    return {"Exports": exports, **more}


def _list_imports(call: Call) -> dict[str, Any]:
    export = call.required("ExportName")
    found = call.stacks.importers(export)
    if not found:
        raise _invalid(f"Export '{export}' is not imported by any stack.")
    page, more = call.page(found)
    return {"Imports": page, **more}


def _get_template(call: Call) -> dict[str, Any]:
    record = call.stacks.get(call.required("StackName"))
    stage = call.text("TemplateStage") or "Original"
    if stage not in ("Original", "Processed"):
        raise _invalid(f"{stage} is no stage of a template: Original, Processed")
    body = record.original() if stage == "Original" else record.processed()
    return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}


ACTIONS: Final[Mapping[str, Callable[[Call], dict[str, Any]]]] = {
    "DescribeStackEvents": _describe_events,
    "DescribeStackResource": _describe_one_resource,
    "DescribeStackResources": _describe_resources,
    "DescribeStacks": _describe_stacks,
    "GetTemplate": _get_template,
    "ListExports": _list_exports,
    "ListImports": _list_imports,
    "ListStackResources": _list_resources,
    "ListStacks": _list_stacks,
}
