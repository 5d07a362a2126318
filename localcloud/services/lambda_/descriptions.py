"""Functions, versions, aliases and what is set of them, as the Lambda API describes them. Pure.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from localcloud.compute.aliases import alias_arn
from localcloud.compute.function import LATEST, FunctionSpec
from localcloud.compute.layers import LayerVersion
from localcloud.compute.versions import Alias, AsyncSettings, FunctionRecord, Provision

__all__ = [
    "describe_alias",
    "describe_configuration",
    "describe_date",
    "describe_function",
    "describe_layer",
    "describe_provision",
    "describe_settings",
]


def describe_date(at_s: float) -> str:
    """A date as the API writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def describe_configuration(spec: FunctionSpec, *, qualified: bool = False) -> dict[str, Any]:
    """FunctionConfiguration. `qualified`: with the version in the ARN also of $LATEST."""
    logging_config = {"LogFormat": spec.log_format.value, "LogGroup": spec.group}
    if spec.log_level:
        logging_config |= {"ApplicationLogLevel": spec.log_level, "SystemLogLevel": "INFO"}
    found: dict[str, Any] = {
        "FunctionName": spec.name,
        "FunctionArn": spec.version_arn if qualified or spec.version != LATEST else spec.arn,
        "Runtime": spec.runtime,
        "Role": spec.role_arn,
        "Handler": spec.handler,
        "Description": spec.description,
        "Timeout": spec.timeout_s,
        "MemorySize": spec.memory_mb,
        "LastModified": describe_date(spec.modified_s),
        "Version": spec.version,
        "CodeSha256": spec.code_sha256,
        "CodeSize": spec.code_size,
        "RevisionId": spec.revision_id,
        "TracingConfig": {"Mode": "Active" if spec.tracing else "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [spec.architecture],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": logging_config,
    }
    if spec.environment:
        found["Environment"] = {"Variables": dict(spec.environment)}
    if spec.layer_arns:
        found["Layers"] = [{"Arn": arn} for arn in spec.layer_arns]
    if spec.dead_letter_arn:
        found["DeadLetterConfig"] = {"TargetArn": spec.dead_letter_arn}
    return found


def describe_function(spec: FunctionSpec, latest: FunctionSpec, *, qualified: bool) -> dict[str, Any]:
    """What GetFunction answers; tags and concurrency are the function's, whatever the version."""
    found: dict[str, Any] = {
        "Configuration": describe_configuration(spec, qualified=qualified),
        "Code": {"RepositoryType": "Local", "Location": spec.code_dir.as_uri()},
    }
    if latest.tags:
        found["Tags"] = dict(latest.tags)
    if latest.reserved_concurrency is not None:
        found["Concurrency"] = {"ReservedConcurrentExecutions": latest.reserved_concurrency}
    return found


def describe_alias(record: FunctionRecord, alias: Alias) -> dict[str, Any]:
    """AliasConfiguration."""
    found: dict[str, Any] = {
        "AliasArn": alias_arn(record, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.weights:
        found["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return found


def describe_settings(record: FunctionRecord, qualifier: str, settings: AsyncSettings) -> dict[str, Any]:
    """FunctionEventInvokeConfig."""
    found: dict[str, Any] = {
        "LastModified": settings.modified_s,
        "FunctionArn": f"{record.spec.arn}:{qualifier or LATEST}",
        "DestinationConfig": {
            "OnSuccess": {"Destination": settings.on_success} if settings.on_success else {},
            "OnFailure": {"Destination": settings.on_failure} if settings.on_failure else {},
        },
    }
    if settings.max_retries is not None:
        found["MaximumRetryAttempts"] = settings.max_retries
    if settings.max_age_s is not None:
        found["MaximumEventAgeInSeconds"] = settings.max_age_s
    return found


def describe_provision(provision: Provision) -> dict[str, Any]:
    """What Get- and PutProvisionedConcurrencyConfig answer."""
    found: dict[str, Any] = {
        "RequestedProvisionedConcurrentExecutions": provision.requested,
        "AvailableProvisionedConcurrentExecutions": provision.available,
        "AllocatedProvisionedConcurrentExecutions": provision.allocated,
        "Status": provision.status,
        "LastModified": describe_date(provision.modified_s),
    }
    if provision.status == "FAILED":
        found["StatusReason"] = "FUNCTION_ERROR_INIT_FAILURE"
    return found


def describe_layer(layer: LayerVersion, *, whole: bool) -> Mapping[str, Any]:
    """A layer version; `whole` as GetLayerVersion has it, else as in a list."""
    found: dict[str, Any] = {
        "LayerVersionArn": layer.version_arn,
        "Version": layer.version,
        "Description": layer.description,
        "CreatedDate": describe_date(layer.made_s),
        "CompatibleRuntimes": list(layer.runtimes),
        "CompatibleArchitectures": list(layer.architectures),
        "LicenseInfo": layer.license_info,
    }
    if whole:
        found |= {"LayerArn": layer.arn, "Content": {"Location": layer.folder.as_uri()}}
    return found
