"""CloudFormation's versions, aliases and settings of asynchronous invocations.

Sources: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-version.html,
aws-resource-lambda-alias.html, aws-resource-lambda-eventinvokeconfig.html
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from localcloud.compute.aliases import alias_arn, make_alias
from localcloud.compute.async_settings import AGE_S, RETRIES, check_settings
from localcloud.compute.concurrency import check_provision
from localcloud.compute.function import LATEST
from localcloud.compute.resource_parts import FunctionParts, naming
from localcloud.compute.versions import Alias, AsyncSettings, FunctionRecord
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["AliasHandler", "EventInvokeConfigHandler", "VersionHandler", "version_handlers"]

_PROVISIONED: Final = Supported(Support.PARTIAL, "environments are started at deployment, which does not wait for them")
_MANAGED: Final = Supported(Support.REFUSED, "managed instances are not served here")


class VersionHandler:
    """`AWS::Lambda::Version`. Ref is its ARN; attributes Version, FunctionArn."""

    type: str = "AWS::Lambda::Version"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "CodeSha256": Supported(Support.PARTIAL, "not compared: a folder has another hash than its archive"),
        "Description": Supported(),
        "FunctionName": Supported(),
        "FunctionScalingConfig": _MANAGED,
        "ProvisionedConcurrencyConfig": _PROVISIONED,
        "RuntimePolicy": Supported(Support.PARTIAL, "the runtime is this machine's"),
    }

    def __init__(self, parts: FunctionParts) -> None:
        self._parts = parts

    async def create(self, resource: Resource) -> Physical:
        """Publish the version. Raises TemplateError where nothing has changed since the last one."""
        read = read_properties(resource)
        record = self._parts.find(read)
        description = read.text("Description", "") if "Description" in read else None
        with naming(read, "FunctionName"):
            spec, is_new = await self._parts.publisher.publish(record, description=description)
        if not is_new:
            exists = f"A version for this Lambda function exists ( {spec.version} )."
            raise read.error("FunctionName", f"{exists} Modify the function to create a new version.")
        await _provision(self._parts, read, record, qualifier=spec.version)
        return Physical(spec.version_arn, {"Version": spec.version, "FunctionArn": spec.version_arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Unmake it, with its environments."""
        name, _, version = physical.ref.rpartition(":")
        record = self._parts.functions.records.get(name.rpartition(":")[2])
        if record is not None:
            with suppress(LambdaError):  # an alias that the API made still names it: it ends with its function
                await record.withdraw(version)


class AliasHandler:
    """`AWS::Lambda::Alias`. Ref and the attribute AliasArn are its ARN."""

    type: str = "AWS::Lambda::Alias"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Description": Supported(),
        "FunctionName": Supported(),
        "FunctionVersion": Supported(),
        "Name": Supported(),
        "ProvisionedConcurrencyConfig": _PROVISIONED,
        "RoutingConfig": Supported(),
    }

    def __init__(self, parts: FunctionParts) -> None:
        self._parts = parts

    async def create(self, resource: Resource) -> Physical:
        """Make it. Raises TemplateError for what CreateAlias would refuse."""
        read = read_properties(resource)
        record, name = self._parts.find(read), read.text("Name")
        weights = {
            each.text("FunctionVersion"): each.number("FunctionWeight")
            for each in read.nested("RoutingConfig").each("AdditionalVersionWeights")
        }
        alias = Alias(
            name=name,
            version=read.text("FunctionVersion"),
            description=read.text("Description", ""),
            weights=weights,
            revision_id=self._parts.publisher.new_revision(),
        )
        if name in record.aliases:
            raise read.error("Name", f"Alias already exists: {alias_arn(record, name)}")
        with naming(read, "FunctionVersion"):
            record.aliases[name] = make_alias(record, alias)
        if resource.logical_id == f"{record.spec.logical_id}Alias{name}":  # as SAM names those of AutoPublishAlias
            record.following.add(name)
        await _provision(self._parts, read, record, qualifier=name)
        arn = alias_arn(record, name)
        return Physical(arn, {"AliasArn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Unmake it, with the environments that were provisioned for it."""
        arn, _, name = physical.ref.rpartition(":")
        record = self._parts.functions.records.get(arn.rpartition(":")[2])
        if record is not None:
            await record.remove_alias(name)


class EventInvokeConfigHandler:
    """`AWS::Lambda::EventInvokeConfig`. Ref is a name of its own; what it sets is kept with the function."""

    type: str = "AWS::Lambda::EventInvokeConfig"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "DestinationConfig.OnFailure": Supported(),
        "DestinationConfig.OnSuccess": Supported(),
        "FunctionName": Supported(),
        "MaximumEventAgeInSeconds": Supported(),
        "MaximumRetryAttempts": Supported(),
        "Qualifier": Supported(),
    }

    def __init__(self, parts: FunctionParts) -> None:
        self._parts = parts

    async def create(self, resource: Resource) -> Physical:
        """Set it. Raises TemplateError for what PutFunctionEventInvokeConfig would refuse."""
        read = read_properties(resource)
        record, qualifier = self._parts.find(read), read.text("Qualifier")
        nested = read.nested("DestinationConfig")
        settings = AsyncSettings(
            max_retries=_number(read, "MaximumRetryAttempts", RETRIES),
            max_age_s=_number(read, "MaximumEventAgeInSeconds", AGE_S),
            on_success=nested.nested("OnSuccess").text("Destination", ""),
            on_failure=nested.nested("OnFailure").text("Destination", ""),
            modified_s=self._parts.clock.time(),
        )
        with naming(read, "Qualifier"):
            spec = record.describe("" if qualifier == LATEST else qualifier)
        with naming(read, "DestinationConfig"):
            check_settings(settings, spec, self._parts.functions.records, may_do=self._parts.may_do)
        record.settings[qualifier] = settings
        return Physical(f"{record.spec.arn}|{qualifier}")

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Set nothing any longer."""
        arn, _, qualifier = physical.ref.partition("|")
        record = self._parts.functions.records.get(arn.rpartition(":")[2])
        if record is not None:
            record.settings.pop(qualifier, None)


def version_handlers(parts: FunctionParts) -> tuple[ResourceHandler, ...]:
    """The handlers of this module."""
    return VersionHandler(parts), AliasHandler(parts), EventInvokeConfigHandler(parts)


async def _provision(parts: FunctionParts, read: Properties, record: FunctionRecord, *, qualifier: str) -> None:
    """What ProvisionedConcurrencyConfig says. Raises TemplateError."""
    if "ProvisionedConcurrencyConfig" not in read:
        return
    nested = read.nested("ProvisionedConcurrencyConfig")
    count = nested.integer("ProvisionedConcurrentExecutions", low=1)
    with naming(nested, "ProvisionedConcurrentExecutions"):
        check_provision(record, qualifier, count, records=parts.functions.records.values())
    await record.provision(qualifier, count, now_s=parts.clock.time())


def _number(read: Properties, name: str, bounds: tuple[int, int]) -> int | None:
    return read.integer(name, low=bounds[0], high=bounds[1]) if name in read else None
