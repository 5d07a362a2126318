"""CloudFormation's archive of a bus's events over the model.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-archive.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.events.archive_operations import read_archive
from localcloud.services.events.errors import EventsError
from localcloud.services.events.model import Buses
from localcloud.services.events.requests import REQUESTS
from localcloud.services.events.shapes import check_request
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import json_text, read_properties

__all__ = ["ArchiveHandler"]

MAX_NAME_CHARS: Final = 48
_SERVED: Final = Supported()


class ArchiveHandler:
    """`AWS::Events::Archive`. Ref is the name; attribute Arn."""

    type: str = "AWS::Events::Archive"
    support: Supported = Supported(
        Support.PARTIAL, "events are archived in memory: they are gone when the local cloud ends"
    )
    properties: Mapping[str, Supported] = {
        "ArchiveName": _SERVED,
        "Description": _SERVED,
        "EventPattern": _SERVED,
        "KmsKeyIdentifier": Supported(Support.REFUSED, "customer managed keys of archives are not served here"),
        "RetentionDays": _SERVED,
        "SourceArn": _SERVED,
    }

    def __init__(self, buses: Buses) -> None:
        self._buses = buses

    async def create(self, resource: Resource) -> Physical:
        """Make the archive. Raises TemplateError for what CreateArchive refuses."""
        read = read_properties(resource)
        name = f"{resource.context.stack_name}-{resource.logical_id}"[:MAX_NAME_CHARS]
        given: dict[str, Any] = {
            "ArchiveName": read.text("ArchiveName", name),
            "EventSourceArn": read.text("SourceArn"),
        }
        if "Description" in read:
            given["Description"] = read.text("Description")
        if "EventPattern" in read:
            given["EventPattern"] = json_text(read.values["EventPattern"])
        if "RetentionDays" in read:
            given["RetentionDays"] = read.integer("RetentionDays")
        try:
            settings = read_archive(check_request(REQUESTS["CreateArchive"], given))
            archive = self._buses.archives.create(resource.context.region, settings)
        except EventsError as error:
            raise read.error("", error.message) from error
        return Physical(archive.settings.name, {"Arn": archive.arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the archive with its events, where it is still there."""
        _ = resource
        archive = self._buses.archives.find(str(physical.attributes["Arn"]))
        if archive is not None:
            self._buses.archives.delete(archive)
