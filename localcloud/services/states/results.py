"""What the children of a distributed Map gave, written to S3: a file for each outcome, and a manifest of them.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from localcloud.services.states.data import size_of, write_json
from localcloud.services.states.definition import State
from localcloud.services.states.describing import describe_execution, pascal_keys
from localcloud.services.states.execution import Execution
from localcloud.services.states.failures import RESULT_WRITER_FAILED, StateFailure
from localcloud.services.states.flow import Lane
from localcloud.services.states.paths import Scope
from localcloud.services.states.reading import read_template
from localcloud.services.states.task_resource import TaskResource

__all__ = ["write_results"]

_PUT: Final = TaskResource("arn:aws:states:::aws-sdk:s3:putObject", "sdk", "s3", "putObject")
_FILES: Final = {"FAILED": ("ABORTED", "FAILED", "TIMED_OUT"), "PENDING": ("RUNNING",), "SUCCEEDED": ("SUCCEEDED",)}


async def write_results(
    run_arn: str, executions: Iterable[Execution], state: State, *, scope: Scope, lane: Lane
) -> dict[str, Any]:
    """Write all results; what the Map then gives says where they are. Raises StateFailure."""
    name = "Arguments" if state.jsonata else "Parameters"
    writer: Mapping[str, Any] = state.fields["ResultWriter"]
    given = await read_template(state, writer.get(name, {}), f"ResultWriter/{name}", scope=scope, lane=lane)
    bucket, prefix = str(given.get("Bucket", "")), str(given.get("Prefix", "")).strip("/")
    folder = "/".join(filter(None, (prefix, run_arn.rpartition(":")[2])))
    listed = list(executions)
    files: dict[str, list[dict[str, Any]]] = {}
    for name, statuses in _FILES.items():
        chosen = [pascal_keys(describe_execution(each)) for each in listed if each.status in statuses]
        files[name] = []
        if chosen:
            text, key = write_json(chosen), f"{folder}/{name}_0.json"
            await _put(bucket, key, text, lane=lane)
            files[name].append({"Key": key, "Size": size_of(text)})
    manifest = {"DestinationBucket": bucket, "MapRunArn": run_arn, "ResultFiles": files}
    key = f"{folder}/manifest.json"
    await _put(bucket, key, write_json(manifest), lane=lane)
    return {"MapRunArn": run_arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


async def _put(bucket: str, key: str, text: str, *, lane: Lane) -> None:
    try:
        await lane.run.world.caller.call(_PUT, {"Bucket": bucket, "Key": key, "Body": text}, lane.run)
    except StateFailure as failure:
        raise StateFailure(RESULT_WRITER_FAILED, failure.cause) from failure
