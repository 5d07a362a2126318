"""CloudFormation's S3 resources, made in moto: `AWS::S3::Bucket` and `AWS::S3::BucketPolicy`.

moto is not loaded for them: they are made when it is loaded for the first call, so names are checked here.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.s3.notification_config import DESTINATIONS, SERVED_EVENTS
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

if TYPE_CHECKING:
    from localcloud.services.s3.notifications import Notifications

__all__ = ["BucketHandler", "BucketPolicyHandler"]

MAX_NAME_CHARS: Final = 63  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_XMLNS: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_PLAIN: Final = "recorded in the ledger only; objects are not encrypted, in memory or in the folder of `--persist`"

Prepare = Callable[[WireRequest], Awaitable[WireResponse | None]]
_OWNED: Final = "BucketAlreadyOwnedByYou"  # API_CreateBucket
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")


class BucketHandler:
    """`AWS::S3::Bucket`. Ref is the name; attributes Arn and the domain names.

    `prepare` is the S3 service's, `notifications` opens what its buckets tell; `keeps` says that buckets outlive the
    stack (`--persist`).
    """

    type: str = "AWS::S3::Bucket"
    support: Supported = Supported(Support.DELEGATED, "answered by moto")
    properties: Mapping[str, Supported] = {
        "AccessControl": Supported(Support.REFUSED, "access control lists are not evaluated here", values=("Private",)),
        "BucketEncryption": Supported(Support.PARTIAL, _PLAIN),
        "BucketName": Supported(Support.DELEGATED),
        "CorsConfiguration": Supported(Support.REFUSED, "buckets here answer no browser of another origin"),
        "LifecycleConfiguration": Supported(Support.PARTIAL, "objects do not expire here"),
        "NotificationConfiguration.EventBridgeConfiguration": Supported(),
        **{
            f"NotificationConfiguration.{block}.{member}": support
            for block, destination in DESTINATIONS.items()
            for member, support in (
                ("Event", Supported(reason="nothing else happens to objects here", values=SERVED_EVENTS)),
                ("Filter.S3Key.Rules", Supported()),
                (destination, Supported()),
            )
        },
        "OwnershipControls": Supported(Support.PARTIAL, "access control lists are not evaluated here"),
        "PublicAccessBlockConfiguration": Supported(
            Support.PARTIAL, "not evaluated; nothing here is public, for unsigned requests are refused"
        ),
        "ReplicationConfiguration": Supported(Support.REFUSED, "buckets here are not replicated"),
        "Tags": Supported(Support.DELEGATED),
        "VersioningConfiguration": Supported(
            Support.DELEGATED, "answered by moto; `--persist` keeps the newest version of an object only"
        ),
        "WebsiteConfiguration": Supported(Support.REFUSED, "buckets here serve no websites"),
    }

    def __init__(
        self, prepare: Prepare, *, notifications: Callable[[], Notifications] | None = None, keeps: bool = False
    ) -> None:
        self._prepare = prepare
        self._notifications = notifications
        self._keeps = keeps
        self._made: set[str] = set()

    async def create(self, resource: Resource) -> Physical:
        """Make the bucket, or take over the kept one. Raises TemplateError for what S3 refuses."""
        read = read_properties(resource)
        context = resource.context
        made = re.sub(r"[^a-z0-9-]", "-", f"{context.stack_name}-{resource.logical_id}".lower())[:MAX_NAME_CHARS]
        name = read.text("BucketName", made.strip("-"))
        if not _NAME.fullmatch(name):
            raise read.error("BucketName", f"the specified bucket is not valid: {name!r}")
        region = "" if context.region == "us-east-1" else f"<LocationConstraint>{context.region}</LocationConstraint>"
        body = f'<CreateBucketConfiguration xmlns="{_XMLNS}">{region}</CreateBucketConfiguration>' if region else ""
        if name in self._made:
            raise read.error("BucketName", f"the bucket {name} is made by another resource of this template")
        target = _Target(self._prepare, read, f"/{name}", context.region)
        await target.put("", body, accept=_OWNED if self._keeps else "")
        self._made.add(name)
        status = read.nested("VersioningConfiguration")
        if "Status" in status:
            wanted = status.choice("Status", ("Enabled", "Suspended"))
            body = f'<VersioningConfiguration xmlns="{_XMLNS}"><Status>{wanted}</Status></VersioningConfiguration>'
            await target.put("versioning", body)
        tags = "".join(
            f"<Tag><Key>{escape(tag.text('Key'))}</Key><Value>{escape(tag.text('Value'))}</Value></Tag>"
            for tag in read.each("Tags")
        )
        if tags:
            await target.put("tagging", f'<Tagging xmlns="{_XMLNS}"><TagSet>{tags}</TagSet></Tagging>')
        if "NotificationConfiguration" in read:
            await self._notify(read, name, context.region)
        return Physical(name, _attributes(name, context.region, context.partition))

    async def _notify(self, read: Properties, name: str, region: str) -> None:
        if self._notifications is None:
            raise read.error("NotificationConfiguration", "buckets here send no events")
        from localcloud.services.s3.notification_settings import read_configuration  # noqa: PLC0415 - few buckets tell

        await read_configuration(read, self._notifications(), name=name, region=region)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the bucket where it is empty and not kept between runs; one with objects stays, as it would on AWS."""
        self._made.discard(physical.ref)
        if self._notifications is not None and "NotificationConfiguration" in resource.properties:
            self._notifications().forget(physical.ref)
        if self._keeps:
            return
        await _Target(self._prepare, read_properties(resource), f"/{physical.ref}", resource.context.region).delete("")


class BucketPolicyHandler:
    """`AWS::S3::BucketPolicy`: recorded in moto."""

    type: str = "AWS::S3::BucketPolicy"
    support: Supported = Supported(Support.PARTIAL, "recorded; bucket policies are not evaluated here")
    properties: Mapping[str, Supported] = {
        "Bucket": Supported(Support.DELEGATED),
        "PolicyDocument": Supported(Support.DELEGATED),
    }

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare

    async def create(self, resource: Resource) -> Physical:
        """Attach the policy. Raises TemplateError for what S3 refuses."""
        read = read_properties(resource)
        bucket = read.text("Bucket")
        target = _Target(self._prepare, read, f"/{bucket}", resource.context.region)
        await target.put("policy", json.dumps(read.mapping("PolicyDocument")))
        return Physical(bucket)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take the policy off."""
        target = _Target(self._prepare, read_properties(resource), f"/{physical.ref}", resource.context.region)
        await target.delete("policy")


def _attributes(name: str, region: str, partition: str) -> dict[str, str]:
    return {
        "Arn": f"arn:{partition}:s3:::{name}",
        "DomainName": f"{name}.s3.amazonaws.com",
        "DualStackDomainName": f"{name}.s3.dualstack.{region}.amazonaws.com",
        "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
    }


@dataclass(frozen=True, slots=True)
class _Target:
    """One bucket, asked as a client of the S3 API would ask."""

    prepare: Prepare
    read: Properties
    path: str
    region: str

    async def put(self, query: str, body: str, *, accept: str = "") -> None:
        """PUT; the error code `accept` is as good as success."""
        response = await self.prepare(self._request("PUT", query, body.encode()))
        if response is not None and response.status >= 300:
            said = response.body.decode(errors="replace") if isinstance(response.body, bytes) else ""
            if accept and f"<Code>{accept}</Code>" in said:
                return
            message = re.search(r"<Message>(.*?)</Message>", said, re.DOTALL)
            raise self.read.error("", message[1] if message else f"S3 answered {response.status}")

    async def delete(self, query: str) -> None:
        await self.prepare(self._request("DELETE", query, b""))

    def _request(self, method: str, query: str, body: bytes) -> WireRequest:
        return WireRequest(
            service="s3",
            region=self.region,
            method=method,
            path=self.path,
            query=query,
            headers={"host": "s3", "content-type": "application/xml", "content-length": str(len(body))},
            body=body,
            access_key="local",
            request_id="deployer",
        )
