"""What a deployed stack is told to be: the state that other processes read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from localcloud.options import CloudOptions, read_issuer
from localcloud.services.logs.files import log_path
from localcloud.state import RunningState
from localcloud.template.deploy import Deployed
from localcloud.template.handler import Resource
from localcloud.template.ledger import Ledger
from localcloud.template.stack import Stack
from localcloud.urls import Urls

__all__ = ["describe_state"]


def describe_state(
    options: CloudOptions, stack: Stack, deployed: Deployed, *, ledger: Ledger, urls: Urls
) -> RunningState:
    """The running cloud, with its addresses as they are reached here."""
    own = {"aws": urls.aws, "console": urls.console}
    made = deployed.whole.items()
    functions = {name: entry for name, entry in made if entry.resource.type == "AWS::Lambda::Function"}
    outputs = {name: urls.localise(value) for name, value in deployed.outputs.items()}
    issuer = read_issuer(stack.metadata, stack.declared)
    return RunningState(
        pid=os.getpid(),
        template=str(options.template.resolve()),
        region=options.region,
        audience=str(stack.graph.scope.parameters.get(issuer.audience, "")),
        endpoints=own | urls.endpoints(deployed) | own,  # named first, and no API's logical id takes their place
        outputs=outputs,
        functions={name: entry.physical.ref for name, entry in functions.items()},
        logs={entry.physical.ref: str(_log_of(options, entry.resource)) for entry in functions.values()},
        ledger=ledger.to_json(),
        issuer=str(options.issuer_folder.resolve()),
        groups=_groups(options, deployed),
    )


def _groups(options: CloudOptions, deployed: Deployed) -> dict[str, str]:
    """The files of log groups that are resources, and of those that state machines write to."""
    folder = (options.state / "logs").resolve()
    found: dict[str, str] = {}
    for logical_id, entry in deployed.whole.items():
        if entry.resource.type == "AWS::Logs::LogGroup":
            names, group = (logical_id, entry.physical.ref), entry.physical.ref
        elif entry.resource.type == "AWS::StepFunctions::StateMachine":
            names, group = (logical_id, entry.physical.attributes["Name"]), _group_of(entry.resource)
        else:
            continue
        if group:
            found |= dict.fromkeys(names, str(log_path(folder, group)))
    return found


def _group_of(machine: Resource) -> str:
    """The log group of a state machine, "" where it has none."""
    logging = cast("dict[str, Any]", machine.properties.get("LoggingConfiguration") or {})
    for destination in logging.get("Destinations") or ():
        arn = str(destination.get("CloudWatchLogsLogGroup", {}).get("LogGroupArn", ""))
        if ":log-group:" in arn:
            return arn.partition(":log-group:")[2].removesuffix(":*")
    return ""


def _log_of(options: CloudOptions, function: Resource) -> Path:
    logging = cast("dict[str, str]", function.properties.get("LoggingConfig") or {})
    group = logging.get("LogGroup")
    name = function.properties.get("FunctionName") or f"{function.context.stack_name}-{function.logical_id}"
    return log_path((options.state / "logs").resolve(), str(group or f"/aws/lambda/{name}"))
