"""The gateway's ports on the local cloud's own Lambda and IAM."""

from __future__ import annotations

from typing import Final, Protocol

from localcloud.compute.functions import Functions as FunctionRegistry
from localcloud.compute.policies import FunctionPolicies
from localcloud.compute.streamed import StreamedInvocation
from localcloud.gateway.ports import FunctionReply, FunctionUnavailableError, Identity
from localcloud.services.contract import Authorise, Permission
from localcloud.services.iam.calls import Call, CallRecord
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Decision, Document
from localcloud.services.iam.tags import resource_tags
from localcloud.services.lambda_.errors import LambdaError

__all__ = ["PRINCIPAL", "SESSION", "LambdaFunctions", "MayInvoke", "MethodPolicies", "UrlPolicies"]

PRINCIPAL: Final = "apigateway.amazonaws.com"
SESSION: Final = "BackplaneAssumeRoleSession"  # the session name API Gateway's calls carry in CloudTrail
INVOKE: Final = "execute-api:Invoke"
_TOO_LARGE: Final = 413
_THROTTLED: Final = 429


class MayInvoke(Protocol):
    """The resource policies of functions (AWS::Lambda::Permission)."""

    def __call__(self, function_arn: str, *, principal: str, source_arn: str) -> bool:
        """Whether `principal` may invoke the function on behalf of `source_arn`."""
        ...


class LambdaFunctions:
    """Lambda's registry as the gateway's Functions."""

    def __init__(self, functions: FunctionRegistry, may_invoke: MayInvoke) -> None:
        self._functions = functions
        self._may_invoke = may_invoke

    async def invoke(
        self, function_arn: str, payload: bytes, *, trace_header: str, invocation_type: str = "RequestResponse"
    ) -> FunctionReply:
        """Invoke and wait, for `Event` only until Lambda has the event. Raises FunctionUnavailableError."""
        try:
            result = await self._functions.invoke(
                function_arn, payload, trace_header=trace_header, invocation_type=invocation_type
            )
        except LambdaError as error:
            raise _unavailable(error) from error
        return FunctionReply(result.payload, result.function_error)

    async def invoke_stream(self, function_arn: str, payload: bytes, *, trace_header: str) -> StreamedInvocation:
        """Invoke and return when the response begins. Raises FunctionUnavailableError."""
        try:
            return await self._functions.invoke_stream(function_arn, payload, trace_header=trace_header)
        except LambdaError as error:
            raise _unavailable(error) from error

    def may_invoke(self, function_arn: str, *, source_arn: str) -> bool:
        """Whether the function's resource policy lets API Gateway in."""
        return self._may_invoke(function_arn, principal=PRINCIPAL, source_arn=source_arn)


def _unavailable(error: LambdaError) -> FunctionUnavailableError:
    return FunctionUnavailableError(
        str(error), is_too_large=error.status == _TOO_LARGE, is_throttled=error.status == _THROTTLED
    )


class UrlPolicies:
    """IAM and the functions' resource policies as Function URLs ask them.

    A caller needs both actions. Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """

    def __init__(self, iam: Iam, authorise: Authorise, policies: FunctionPolicies) -> None:
        self._iam = iam
        self._authorise = authorise
        self._policies = policies

    def may_anyone(self, function_arn: str) -> bool:
        """Whether the function's policy lets everybody in through a URL with AuthType NONE."""
        return self._policies.allows_anyone(function_arn)

    def identify(
        self, access_key: str, function_arn: str, *, tags: tuple[tuple[str, str], ...] = ()
    ) -> Identity | None:
        """Who owns the key, None where they may not invoke the function, which has these tags, through its URL."""
        own = resource_tags(dict(tags))
        needs = (
            Permission("lambda:InvokeFunctionUrl", function_arn, (("lambda:FunctionUrlAuthType", "AWS_IAM"), *own)),
            Permission("lambda:InvokeFunction", function_arn, (("lambda:InvokedViaFunctionUrl", "true"), *own)),
        )
        if self._authorise(access_key, needs) is not None:
            return None
        return _identify(self._iam, access_key)


def _identify(iam: Iam, access_key: str) -> Identity:
    principal = iam.principal_of(access_key)
    user_id = f"{access_key}:{principal.session}" if principal.session else principal.account
    return Identity(access_key, principal.account, principal.arn, user_id)


class MethodPolicies:
    """IAM as the methods of REST APIs with AWS_IAM ask it; what it says is in the record of calls.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
    """

    def __init__(self, iam: Iam, record: CallRecord) -> None:
        self._iam = iam
        self._record = record

    def identify(self, access_key: str) -> Identity:
        """Who owns the key."""
        return _identify(self._iam, access_key)

    def decide(self, access_key: str, method_arn: str, *, policy: Document | None, source_ip: str) -> Decision:
        """Whether the owner of the key may invoke the method, whose API has this resource policy."""
        principal = self._iam.principal_of(access_key)
        context = (("aws:SourceIp", source_ip),)
        decision = self._iam.decide(principal, INVOKE, method_arn, context=dict(context), resource_policy=policy)
        self._record.add(
            Call(
                function=principal.session,
                role_arn=principal.role_arn,
                action=INVOKE,
                resource=method_arn,
                allowed=decision.allowed,
                policy=decision.policy,
                context=context,
                session_tags=principal.session_tags,
            )
        )
        return decision
