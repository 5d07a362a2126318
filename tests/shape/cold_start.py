"""Run in a bare interpreter: one cold start of a function, as Lambda makes it; prints its imports and its CPU.

argv[1] is JSON: `path` (what stands in sys.path before the standard library) and `event` (what is invoked with).
"""

import json
import sys
import time


class Context:
    """What Lambda passes as the second argument."""

    aws_request_id = "0d8c5ef0-5c2c-4a5e-9a7e-3f2b1c0d9e8f"
    function_name = "function"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function"

    def get_remaining_time_in_millis(self) -> int:
        """Ten seconds."""
        return 10_000


def main() -> None:
    """Import, init, and one invocation."""
    order = json.loads(sys.argv[1])
    before = set(sys.modules)
    sys.path[:0] = order["path"]
    import app  # the function, found on the path of this run

    reply = app.handler(order["event"], Context())
    report = {
        "modules": sorted(set(sys.modules) - before - {"app"}),
        "cpu_s": time.process_time(),
        "reply": reply,
    }
    print("\n" + json.dumps(report))


main()
