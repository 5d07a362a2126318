"""Where things are sent again. `cases`: recorded events, with replies; the others: records, taken or refused."""

from localcloud.replay.targets.cases import (
    HttpTarget,
    LambdaTarget,
    SamTarget,
    Target,
    WebSocketTarget,
    caller_of,
    logical_id,
)

__all__ = ["HttpTarget", "LambdaTarget", "SamTarget", "Target", "WebSocketTarget", "caller_of", "logical_id"]
