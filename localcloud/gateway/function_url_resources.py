"""CloudFormation's Function URLs: `AWS::Lambda::Url`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-url.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.gateway.cors import Cors
from localcloud.gateway.function_url import FunctionUrl, FunctionUrls
from localcloud.gateway.resources import make_id
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["FunctionUrlHandler"]

ID_CHARACTERS: Final = 32
MAX_AGE_S: Final = 86_400  # Cors: MaxAge
_ALIAS: Final = re.compile(r"(?!\d+$)[0-9a-zA-Z-_]{1,128}", re.ASCII)  # CreateFunctionUrlConfig: Qualifier
_MODES: Final = ("BUFFERED", "RESPONSE_STREAM")


class FunctionUrlHandler:
    """`AWS::Lambda::Url`. Ref is the function's ARN; attributes FunctionUrl, FunctionArn."""

    type: str = "AWS::Lambda::Url"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "AuthType": Supported(Support.PARTIAL, "signatures are not verified: a key counts as the principal it names"),
        "Cors": Supported(),
        "InvokeMode": Supported(),
        "Qualifier": Supported(),
        "TargetFunctionArn": Supported(),
    }

    def __init__(self, functions: Functions, urls: FunctionUrls) -> None:
        self._functions = functions
        self._urls = urls

    async def create(self, resource: Resource) -> Physical:
        """Serve the URL. Raises TemplateError for what CreateFunctionUrlConfig would refuse."""
        read, context = read_properties(resource), resource.context
        spec, arn = self._find(read)
        url = FunctionUrl(
            id=make_id(ID_CHARACTERS, "url", context.stack_name, context.region, resource.logical_id),
            function_arn=arn,
            is_public=read.choice("AuthType", ("AWS_IAM", "NONE")) == "NONE",
            streams=read.choice("InvokeMode", _MODES, "BUFFERED") == "RESPONSE_STREAM",
            cors=_read_cors(read.nested("Cors")) if "Cors" in read else None,
            tags=tuple(spec.tags.items()),
        )
        self._urls.add(url)
        return Physical(arn, {"FunctionUrl": f"https://{url.domain}/", "FunctionArn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Serve it no longer."""
        self._urls.remove(str(physical.attributes["FunctionUrl"]).removeprefix("https://").partition(".")[0])

    def _find(self, read: Properties) -> tuple[FunctionSpec, str]:
        """The function, and the ARN that the URL invokes: an alias's where one is named."""
        qualifier = read.text("Qualifier", "")
        if "Qualifier" in read and not _ALIAS.fullmatch(qualifier):
            raise read.error("Qualifier", f"must be the name of an alias, is {qualifier!r}")
        try:
            record, named = self._functions.find(read.text("TargetFunctionArn"), qualifier=qualifier)
            spec = record.describe(named)
        except LambdaError as error:
            raise read.error("TargetFunctionArn", error.message) from error
        return spec, f"{spec.arn}:{named}" if named else spec.arn


def _read_cors(read: Properties) -> Cors:
    return Cors(
        allow_credentials=read.flag("AllowCredentials", default=False),
        allow_headers=tuple(read.texts("AllowHeaders")),
        allow_methods=tuple(read.texts("AllowMethods")),
        allow_origins=tuple(read.texts("AllowOrigins")),
        expose_headers=tuple(read.texts("ExposeHeaders")),
        max_age_s=read.integer("MaxAge", 0, low=0, high=MAX_AGE_S),
    )
