"""CloudFormation's `AWS::Lambda::Permission`: who besides the account's own principals may invoke a function.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-permission.html
"""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.compute.function import LATEST
from localcloud.compute.functions import Functions
from localcloud.compute.policies import NO_POLICY_OF_LATEST, FunctionPolicies, Grant
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["PermissionHandler"]


class PermissionHandler:
    """`AWS::Lambda::Permission`: a statement of a function's resource policy."""

    type: str = "AWS::Lambda::Permission"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Action": Supported(),
        "EventSourceToken": Supported(Support.REFUSED, "Alexa skills are not served here"),
        "FunctionName": Supported(),
        "FunctionUrlAuthType": Supported(),
        "InvokedViaFunctionUrl": Supported(),
        "Principal": Supported(),
        "PrincipalOrgID": Supported(Support.REFUSED, "organisations are not served here"),
        "SourceAccount": Supported(),
        "SourceArn": Supported(),
    }

    def __init__(self, functions: Functions, policies: FunctionPolicies) -> None:
        self._functions = functions
        self._policies = policies

    async def create(self, resource: Resource) -> Physical:
        """Add the statement. Raises TemplateError where the function is not there."""
        read = read_properties(resource)
        arn = _function_arn(read, self._functions)
        sid = f"{resource.context.stack_name}-{resource.logical_id}"
        grant = Grant(
            sid=sid,
            action=read.text("Action"),
            principal=read.text("Principal"),
            source_arn=read.text("SourceArn", ""),
            source_account=read.text("SourceAccount", ""),
            url_auth_type=read.choice("FunctionUrlAuthType", ("", "AWS_IAM", "NONE"), ""),
            via_url=read.flag("InvokedViaFunctionUrl", default=False),
        )
        self._policies.add(arn, grant)
        return Physical(sid, {"Id": sid})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take the statement away."""
        self._policies.remove(physical.ref)


def _function_arn(read: Properties, functions: Functions) -> str:
    """The ARN that the statement is about: the function's, or that of the version or alias which is named."""
    try:
        record, qualifier = functions.find(read.text("FunctionName"))
        record.describe(qualifier)
    except LambdaError as error:
        raise read.error("FunctionName", error.message) from error
    if qualifier == LATEST:
        raise read.error("FunctionName", NO_POLICY_OF_LATEST)
    return f"{record.spec.arn}:{qualifier}" if qualifier else record.spec.arn
