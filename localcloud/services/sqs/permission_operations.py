"""The actions on a queue's permissions: parameters in, result out, both shaped as in the JSON protocol.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_AddPermission.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from localcloud.services.sqs.errors import missing
from localcloud.services.sqs.operations import Call, Result
from localcloud.services.sqs.permissions import add_statement, remove_statement

__all__ = ["PERMISSION_ACTIONS"]


async def _add(call: Call) -> Result:
    queue, parameters = call.queue(), call.parameters
    label, actions = parameters.required("Label"), parameters.texts("Actions")
    if not actions:
        raise missing("Actions")
    if not parameters.has("AWSAccountIds"):
        raise missing("AWSAccountIds")
    accounts = parameters.texts("AWSAccountIds")
    policy = queue.attributes.get("Policy", "")
    policy = add_statement(policy, queue.arn, label=label, accounts=accounts, actions=actions)
    call.queues.configure(queue, {"Policy": policy})
    return {}


async def _remove(call: Call) -> Result:
    queue, label = call.queue(), call.parameters.required("Label")
    policy = remove_statement(queue.attributes.get("Policy", ""), queue.arn, label)
    call.queues.configure(queue, {"Policy": policy})
    return {}


PERMISSION_ACTIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "AddPermission": _add,
    "RemovePermission": _remove,
}
