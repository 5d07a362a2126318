"""Handlers and events by the hundred, from a seed: what a Lambda function in Python may do with its client."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.unit.fake_runtime_api import event

HEAD = """
import asyncio, decimal, json, logging, os, sys
from collections import namedtuple, OrderedDict
Point = namedtuple("Point", "x y")
class Odd(Exception): pass
class Ünusual(ValueError): pass
class Silent(Exception):
    def __str__(self): return ""
def fail(kind, *args): raise kind(*args)
def deep(n):
    if n: return deep(n - 1)
    raise Odd("deep")
count = [0]
log = logging.getLogger("own")
"""
TAIL = """
def handler(event, context): return HANDLERS[event["at"]](event, context)
"""
NOTHING = "None"
EXPRESSIONS = [
    "event", "event['value']", "context.aws_request_id", "context.invoked_function_arn", "context.tenant_id",
    "context.function_name", "context.memory_limit_in_mb", "context.get_remaining_time_in_millis() > 10**9",
    "context.client_context and context.client_context.custom", "context.client_context and context.client_context.env",
    "context.client_context and context.client_context.client and context.client_context.client.app_title",
    "context.identity.cognito_identity_id", "context.identity.cognito_identity_pool_id", "context.w3c()",
    "repr(context)[:60]", "os.environ.get('_X_AMZN_TRACE_ID')", "os.environ.get('_LAMBDA_TELEMETRY_LOG_FD')",
    "Point(1, [Point('a', None)])", "(1, (2,))", "decimal.Decimal('1.50')", "[decimal.Decimal('NaN')]", "b'raw'",
    "{'b': b'bytes'}", "{1: 1, None: 2, True: 3, 2.5: 4}", "OrderedDict(z=1, a=2)", "float('inf')", "{1, 2}",
    "object()",
    "{(1, 2): 3}", "'\\u00e4\\u2028\\U0001f600'", "lambda: 1", "(x for x in [])", "10**40", "-0.0", "''", "[]", "{}",
    "os.getcwd() == os.environ['LAMBDA_TASK_ROOT']", "sys.argv is not None", "count.append(1) or len(count)",
    "'app' in sys.modules", "os.environ['_HANDLER']", "logging.getLogger().level", "len(logging.getLogger().handlers)",
]  # fmt: skip
STATEMENTS = [
    "print('said', event['value'])", "print('no end', end='')", "print('two\\nlines')", "print()",
    "sys.stderr.write('on stderr\\n')", "logging.getLogger().warning('warned %s', event['at'])", "log.error('own')",
    "log.info('not shown in text')", "log.critical('critical\\nof two lines')", "logging.warning({'a': 1})",
    "log.warning('extra', extra={'jobs': 2})", "context.log('by context\\n')",
    "log.exception('x') if False else log.error('no trace', exc_info=False)",
]  # fmt: skip
FAILURES = [
    "raise Odd('odd')", "raise Odd()", "raise Ünusual('höllo')", "raise Silent('unheard')", "fail(KeyError, 'k')",
    "fail(ValueError, 'a\\nb')", "fail(Odd, 1, 2)", "deep(5)", "1 / 0", "event['nothing']", "[].pop()", "int('x')",
    "context.nothing", "json.loads('{')", "fail(RuntimeError, 'x' * 3000)", "fail(Exception)", "asyncio.run(None)",
    "fail(ExceptionGroup, 'g', [Odd('in')])", "fail(UnicodeDecodeError, 'utf-8', b'x', 0, 1, 'r')",
    "fail(OSError, 2, 'no')",
]  # fmt: skip
BLOCKS = [
    "try:\n        deep(1)\n    except Odd as error:\n        raise ValueError('from') from error",
    "try:\n        deep(1)\n    except Odd:\n        raise ValueError('while')",
    "try:\n        deep(1)\n    except Odd:\n        log.exception('caught')",
    "with open(os.devnull) as file:\n        file.write('x')",
]


def values(rng: random.Random, depth: int = 2) -> Any:
    """Some JSON."""
    kinds = ["text", "number", "other"] + (["list", "object"] if depth else [])
    kind = rng.choice(kinds)
    if kind == "text":
        return "".join(rng.choice('abä\u2028\U0001f600"\\\n\x7f ') for _ in range(rng.randrange(8)))
    if kind == "number":
        return rng.choice([0, -1, 1.5, 1e300, 10**20, rng.random()])
    if kind == "list":
        return [values(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == "object":
        return {values(rng, 0).__str__(): values(rng, depth - 1) for _ in range(rng.randrange(4))}
    return rng.choice([None, True, False])


def body(rng: random.Random) -> str:
    """The lines of one handler."""
    lines = [rng.choice(STATEMENTS) for _ in range(rng.choice([0, 0, 1, 2]))]
    roll = rng.random()
    if roll < 0.3:
        lines.append(rng.choice(FAILURES))
    elif roll < 0.4:
        lines.append(rng.choice(BLOCKS))
    lines.append(f"return {rng.choice(EXPRESSIONS)}")
    return "\n    ".join(lines)


def headers(rng: random.Random) -> dict[str, str]:
    """Further headers of `next`."""
    found: dict[str, str] = {}
    if rng.random() < 0.3:
        found["Lambda_Runtime_Trace_Id"] = f"Root=1-{rng.getrandbits(32):08x}-{rng.getrandbits(96):024x};Sampled=0"
    if rng.random() < 0.3:
        client = {"custom": values(rng), "env": {"a": "b"}, "client": {"app_title": "t"}, "w3c": {"traceparent": "p"}}
        kept = {name: value for name, value in client.items() if rng.random() < 0.7}
        found["Lambda_Runtime_Client_Context"] = json.dumps(kept)
    if rng.random() < 0.2:
        found["Lambda_Runtime_Cognito_Identity"] = '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}'
    if rng.random() < 0.2:
        found["Lambda_Runtime_Aws_Tenant_Id"] = "tenant-1"
    if rng.random() < 0.5:
        found["Lambda_Runtime_Invocation_Id"] = f"inv-{rng.randrange(1000)}"
    if rng.random() < 0.03:
        found["Lambda_Runtime_Client_Context"] = "{nonsense"
    return found


def generate(seed: int, count: int) -> tuple[str, list[bytes]]:
    """A module of `count` handlers, and an event for each."""
    rng = random.Random(seed)
    parts = [HEAD]
    events: list[bytes] = []
    for at in range(count):
        parts.append(f"def handler_{at}(event, context):\n    {body(rng)}\n")
        sent = json.dumps({"at": at, "value": values(rng)}, ensure_ascii=rng.random() < 0.5).encode()
        events.append(event(sent, f"r-{at}", **headers(rng)))
    parts.append(f"HANDLERS = [{', '.join(f'handler_{at}' for at in range(count))}]\n")
    return "\n".join([*parts, TAIL]), events
