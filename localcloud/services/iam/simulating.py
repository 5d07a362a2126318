"""IAM's policy simulator over the local cloud's own evaluator.

Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from localcloud.services.iam.model import Iam, Principal
from localcloud.services.iam.policy import Decision, Document, combine, evaluate, parse_document
from localcloud.services.iam.query import Form, QueryFault

__all__ = ["simulate_custom", "simulate_principal"]

MAX_COMBINATIONS: Final = 1_000  # of actions and resources in one call; what one answer can hold
_ROLE: Final = re.compile(r"arn:[\w-]+:iam::(\d{12}):role/.+")
_SESSION: Final = re.compile(r"(arn:[\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.+")
_Decide = Callable[[str, str, dict[str, tuple[str, ...]]], Decision]


def simulate_principal(iam: Iam, form: Form) -> dict[str, object]:
    """What a role may do: SimulatePrincipalPolicy. Raises NoSuchEntity, QueryFault, MalformedPolicy."""
    source = form.need("PolicySourceArn", low=20)
    session = _SESSION.fullmatch(source)
    role = iam.role_named(session[3]) if session else iam.roles.get(source)
    if role is None:
        if not _ROLE.fullmatch(source):
            message = "The local cloud has roles, no users and groups: PolicySourceArn must be a role's."
            raise QueryFault("InvalidInput", message)
        raise QueryFault("NoSuchEntity", f"Role {source.rpartition('/')[2]} does not exist.", status=404)
    more = _documents(form)
    principal = Principal(arn=role.arn, account=role.arn.split(":")[4], role_arn=role.arn)

    def decide(action: str, resource: str, context: dict[str, tuple[str, ...]]) -> Decision:
        own = iam.decide(principal, action, resource, context=context)
        return combine(own, evaluate(more, action, resource, context=context)) if more else own

    return _simulate(form, decide)


def simulate_custom(form: Form) -> dict[str, object]:
    """What policies allow that nobody has yet: SimulateCustomPolicy. Raises QueryFault, MalformedPolicy."""
    policies = _documents(form)
    if not policies:
        raise QueryFault("InvalidInput", "PolicyInputList must name at least one policy.")
    return _simulate(form, lambda action, resource, keys: evaluate(policies, action, resource, context=keys))


def _simulate(form: Form, decide: _Decide) -> dict[str, object]:
    form.refuse("ResourcePolicy", "ResourceOwner", "CallerArn", "ResourceHandlingOption")
    form.refuse("PermissionsBoundaryPolicyInputList", "Marker")
    actions, resources = form.texts("ActionNames"), form.texts("ResourceArns") or ["*"]
    if not actions:
        raise QueryFault("InvalidInput", "ActionNames must name at least one action.")
    if any(not re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9*]+", action) for action in actions):
        raise QueryFault("InvalidInput", "Invalid action name: it must be service:Action.")
    if len(actions) * len(resources) > MAX_COMBINATIONS:
        raise QueryFault("InvalidInput", f"At most {MAX_COMBINATIONS} pairs of actions and resources are simulated.")
    context = {
        entry.need("ContextKeyName", low=5, high=256): tuple(entry.texts("ContextKeyValues"))
        for entry in form.structures("ContextEntries")
    }
    results = [
        _result(action, resource, decide(action, resource, context)) for action in actions for resource in resources
    ]
    return {"IsTruncated": False, "EvaluationResults": results}


def _result(action: str, resource: str, decision: Decision) -> dict[str, object]:
    matched = [{"SourcePolicyId": decision.policy, "SourcePolicyType": "IAM Policy"}] if decision.policy else []
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision.outcome.value,
        "MatchedStatements": matched,
        "MissingContextValues": [],
    }


def _documents(form: Form) -> Sequence[Document]:
    texts = form.texts("PolicyInputList")
    return [parse_document(text, name=f"PolicyInputList.{number}") for number, text in enumerate(texts, 1)]
