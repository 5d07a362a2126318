"""Who may invoke a method before anything else is asked: the API's resource policy, and IAM for signed methods.

Both tables of the source are kept: a policy alone, or with a user pool, must allow; with IAM or a Lambda authorizer
either may allow; a Deny always denies. Signatures are not verified, as nowhere in the local cloud.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from localcloud.gateway.definition import Api
from localcloud.gateway.errors import GatewayError
from localcloud.gateway.exchange import Exchange
from localcloud.gateway.policies import make_context
from localcloud.gateway.ports import MethodAccess
from localcloud.identify import read_scope
from localcloud.services.iam.policy import Caller, Decision, Document, Outcome, Statement, evaluate

__all__ = ["admit_signed", "check_policy", "denied", "deny_early", "expand_policy", "policy_allows"]

INVOKE: Final = "execute-api:Invoke"
SERVICE: Final = "execute-api"
_SHORT: Final = "execute-api:/"
_ANYBODY: Final = "anonymous"


def expand_policy(api: Api) -> Api:
    """The API with the short resources of its policy (`execute-api:/stage/GET/path`) written out, as AWS keeps them."""
    if api.policy is None:
        return api
    partition = "aws-cn" if api.region.startswith("cn-") else "aws"
    arn = f"arn:{partition}:execute-api:{api.region}:{api.account_id}:{api.id}/"
    statements = tuple(_expand(each, arn) for each in api.policy.statements)
    return replace(api, policy=replace(api.policy, statements=statements))


def _expand(statement: Statement, arn: str) -> Statement:
    resources = tuple(
        arn + each.removeprefix(_SHORT) if each.startswith(_SHORT) else each for each in statement.resources
    )
    return replace(statement, resources=resources)


def deny_early(exchange: Exchange) -> None:
    """Before an authorizer is asked: raise GatewayError where the policy denies the request, whoever sent it."""
    if exchange.api.policy is not None:
        decision = _decide(exchange, exchange.api.policy)
        if decision.outcome is Outcome.EXPLICIT_DENY:
            raise denied(exchange, _ANYBODY, decision)


def check_policy(exchange: Exchange) -> None:
    """Raise GatewayError where the policy does not allow the request, whoever sent it."""
    if exchange.api.policy is not None:
        decision = _decide(exchange, exchange.api.policy)
        if not decision.allowed:
            raise denied(exchange, _ANYBODY, decision)


def policy_allows(exchange: Exchange) -> bool:
    """Whether there is a policy that allows the request by itself."""
    return exchange.api.policy is not None and _decide(exchange, exchange.api.policy).allowed


def admit_signed(exchange: Exchange, access: MethodAccess) -> None:
    """Note who signed the request, and let them pass where IAM and the policy say so. Raises GatewayError."""
    scope = read_scope({name.lower(): value for name, value in exchange.request.headers}, exchange.request.query)
    if scope is None:
        raise GatewayError("MISSING_AUTHENTICATION_TOKEN", reason="the request is not signed")
    if scope.service != SERVICE:
        words = f"Credential should be scoped to correct service: '{SERVICE}'. "
        raise GatewayError("INVALID_SIGNATURE", words, reason=f"signed for {scope.service}")
    exchange.identity = access.identify(scope.access_key)
    decision = access.decide(
        scope.access_key,
        exchange.method_arn(),
        policy=exchange.api.policy,
        source_ip=exchange.request.source_ip,
    )
    if not decision.allowed:
        raise denied(exchange, exchange.identity.arn, decision)


def _decide(exchange: Exchange, policy: Document) -> Decision:
    context = make_context(now_s=exchange.now_s, source_ip=exchange.request.source_ip)
    keys = {**context, "aws:securetransport": ("true",)}  # as the same request to AWS would be
    caller = Caller(arn=_ANYBODY, account=_ANYBODY)
    return evaluate((policy,), INVOKE, exchange.method_arn(), context=keys, caller=caller)


def denied(exchange: Exchange, who: str, decision: Decision) -> GatewayError:
    """AWS's sentence; the account in it is masked but for four digits."""
    arn, account = exchange.method_arn(), exchange.api.account_id
    masked = arn.replace(f":{account}:", f":{'*' * (len(account) - 4)}{account[-4:]}:", 1)
    words = f"User: {who} is not authorized to perform: {INVOKE} on resource: {masked}"
    explicit = " with an explicit deny" if decision.outcome is Outcome.EXPLICIT_DENY else ""
    return GatewayError("ACCESS_DENIED", words + explicit, reason=decision.outcome.value)
