"""What does it cost to match an event against one event pattern, and against ten thousand?

Sluiceway's pattern and its index, beside moto's matcher (in this environment), MiniStack's and PyPI's event-ruler, each
in an environment of its own under the folder for temporary files; one that cannot be made is skipped, and said. The
peers try their rules one by one, as they do when an event comes. event-ruler takes text only; the rules that it refuses
are left out for it, and said. CPU time on decoded events of about 1.4 kB; the best of several rounds.
Run: python bench/patterns.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.events.models import EventPattern
from table import print_table, print_verdict

from sluiceway.rules import patterns
from sluiceway.rules.index import PatternIndex

PEERS = {"MiniStack": "ministack==1.5.33", "event-ruler": "event-ruler==0.3.0"}
BUDGET_US = {
    "1 rule, all match": 1e6 / 60_000,
    "1 rule, few match": 1e6 / 60_000,
    "10,000 selective": 1e6 / 40_000,
    "10,000 mixed": 1e6 / 7_000,
}
BUILD_S = 5.0
EVENTS = 64
SOURCES = ["aws.ec2", *(f"shop.service-{number}" for number in range(19))]
TYPES = ["EC2 Instance State-change Notification", *(f"Order Event {number}" for number in range(9))]
STATES = ["pending", "running", "stopping", "stopped", "terminated"]
AGENTS = [
    "aws-cli/2.15.30 Python/3.11.8 Linux/6.1",
    "Boto3/1.35.0 md/Botocore#1.35.0 ua/2.0 os/linux",
    "console.amazonaws.com",
]

# What runs in a peer's environment: rules and events come as JSON, the CPU seconds of one event against all go back.
PEER_SCRIPT = """
import json, sys, time
name, order = sys.argv[1], json.load(sys.stdin)
rules, events, count = order["rules"], order["events"], order["count"]
if name == "MiniStack":
    from ministack.services import eventbridge as eb
    decoded = [eb._event_from_test_payload(json.loads(event)) for event in events]
    def match(number):
        view = eb._pattern_event_view(decoded[number % len(decoded)])
        return sum(eb._matches_pattern_view(rule, view) for rule in rules)
else:
    from event_ruler.event_ruler import test_event_pattern
    def takes(rule):
        try:
            test_event_pattern(events[0], rule)
        except RuntimeError:
            return False
        return True
    known = [rule for rule in rules if takes(rule)]
    if len(known) < len(rules):
        print(f"event-ruler refuses {len(rules) - len(known)} of {len(rules)} rules", file=sys.stderr)
    rules = known
    if not rules:
        sys.exit(1)
    def match(number):
        event = events[number % len(events)]
        return sum(test_event_pattern(event, rule) for rule in rules)
match(0)
best = None
for _ in range(order["rounds"]):
    begun = time.process_time()
    for number in range(count):
        match(number)
    spent = (time.process_time() - begun) / count
    best = spent if best is None else min(best, spent)
print(best)
"""


def make_id(draw: random.Random, kind: str = "i") -> str:
    return f"{kind}-{draw.randrange(16**17):017x}"


def make_event(draw: random.Random) -> dict[str, Any]:
    """An event as EventBridge delivers it, about 1.4 kB of JSON."""
    instance = make_id(draw)
    return {
        "version": "0",
        "id": f"{draw.randrange(16**8):08x}-9f74-4f04-a780-7acf4b0a9b38",
        "detail-type": draw.choice(TYPES),
        "source": draw.choice(SOURCES),
        "account": "123456789012",
        "time": "2026-11-27T18:43:48Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:ec2:eu-central-1:123456789012:instance/{instance}"],
        "detail": {
            "eventVersion": "1.08",
            "userIdentity": {
                "type": "AssumedRole",
                "principalId": "AROAEXAMPLE:deploy",
                "arn": "arn:aws:sts::123456789012:assumed-role/deploy/session",
                "accountId": "123456789012",
                "accessKeyId": "ASIAEXAMPLE",
                "sessionContext": {
                    "attributes": {"mfaAuthenticated": "false", "creationDate": "2026-11-27T18:40:00Z"},
                    "sessionIssuer": {"type": "Role", "userName": "deploy", "accountId": "123456789012"},
                },
            },
            "eventTime": "2026-11-27T18:43:47Z",
            "eventSource": "ec2.amazonaws.com",
            "eventName": draw.choice(["StopInstances", "RunInstances", "TagResource"]),
            "awsRegion": "eu-central-1",
            "sourceIPAddress": f"{draw.randrange(1, 224)}.{draw.randrange(256)}.{draw.randrange(256)}.17",
            "userAgent": draw.choice(AGENTS),
            "instance-id": instance,
            "state": draw.choice(STATES),
            "requestParameters": {"instancesSet": {"items": [{"instanceId": instance}, {"instanceId": make_id(draw)}]}},
            "responseElements": None,
            "requestID": f"{draw.randrange(16**8):08x}-1111-2222-3333-444455556666",
            "tlsDetails": {"tlsVersion": "TLSv1.3", "clientProvidedHostHeader": "ec2.eu-central-1.amazonaws.com"},
            "eventCategory": "Management",
            "readOnly": False,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "count": draw.randrange(100),
            "price": 12.5,
            "tags": draw.sample(["blue", "green", "prod", "dev", "batch"], 3),
        },
    }


def make_selective(draw: random.Random, count: int) -> list[str]:
    """Each rule names something that hardly any event has: subscriptions to single things."""
    fields = ["instance-id", "requestID", "sourceIPAddress"]
    return [
        json.dumps({"source": ["aws.ec2"], "detail-type": TYPES[:1], "detail": {draw.choice(fields): [make_id(draw)]}})
        for _ in range(count)
    ]


def make_mixed(draw: random.Random, count: int) -> list[str]:
    """Twelve kinds of rules in equal parts, every operator, each for one source and one type of twenty and of ten."""
    return [json.dumps(make_mixed_rule(draw, number % 12)) for number in range(count)]


def make_mixed_rule(draw: random.Random, kind: int) -> dict[str, Any]:
    low, state = draw.randrange(100), draw.choice(STATES)
    block = f"{draw.randrange(1, 224)}.{draw.randrange(256)}.0.0/{draw.choice([8, 12, 16])}"
    wildcard = draw.choice(["aws-cli/*", "*Python*", "*boto*linux*", "aws-cli/*Python/3.1*"])
    details: list[dict[str, Any]] = [
        {"state": [state]},
        {"instance-id": [{"prefix": make_id(draw)[: draw.randrange(3, 9)]}]},
        {"requestID": [{"suffix": make_id(draw)[-draw.randrange(2, 7) :]}]},
        {"count": [{"numeric": [">", low, "<=", low + draw.randrange(1, 50)]}]},
        {"state": [{"anything-but": state}]},
        {"state": [{"anything-but": {"prefix": "stop"}}], "errorCode": [{"exists": False}]},
        {"userAgent": [{"wildcard": wildcard}]},
        {"sourceIPAddress": [{"cidr": block}]},
        {"eventName": [{"equals-ignore-case": draw.choice(["stopinstances", "RUNINSTANCES", "TagResource"])}]},
        {"$or": [{"state": [state]}, {"count": [{"numeric": ["<", draw.randrange(60)]}]}]},
        {"requestParameters": {"instancesSet": {"items": {"instanceId": [make_id(draw)]}}}},
        {"tags": ["blue", draw.choice(["prod", "dev"])], "readOnly": [False]},
    ]
    return {"source": [draw.choice(SOURCES)], "detail-type": [draw.choice(TYPES)], "detail": details[kind]}


ONE_RULE = json.dumps(
    {
        "source": ["aws.ec2"],
        "detail-type": TYPES[:1],
        "detail": {
            "state": ["stopped", "terminated"],
            "count": [{"numeric": [">", 10]}],
            "instance-id": [{"prefix": "i-"}],
        },
    }
)


def measure(match: Callable[[int], object], *, count: int, rounds: int) -> float:
    """CPU seconds of one `match`, the best round's mean."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        for number in range(count):
            match(number)
        best = min(best, (time.process_time() - begun) / count)
    return best


def make_environment(name: str) -> Path | None:
    """The interpreter of the peer's environment, made once; None where it cannot be made, which is said."""
    requirement = PEERS[name]
    version = ".".join(map(str, sys.version_info[:2]))
    folder = Path(tempfile.gettempdir()) / f"sluiceway-bench-{requirement.replace('==', '-')}-python{version}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"Installing {requirement} into {folder} (once)...", flush=True)
        steps = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
        steps += [[str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", requirement]]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"skipped: {name}: {requirement} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
                return None
        (folder / "ready").touch()
    return python


def ask_peer(name: str, rules: list[str], events: list[str], *, count: int, rounds: int) -> float | None:
    """CPU seconds of one event against all rules; None where the peer is not there or fails, which is said."""
    python = make_environment(name)
    if python is None:
        return None
    order = json.dumps({"rules": rules, "events": events, "count": count, "rounds": rounds})
    environ = {"PATH": os.environ["PATH"], "BIND_HOST": "127.0.0.1"}
    done = subprocess.run(
        [str(python), "-c", PEER_SCRIPT, name], input=order, capture_output=True, text=True, check=False, env=environ
    )
    for line in done.stderr.strip().splitlines()[-1:]:
        print(f"skipped: {name}: {line}" if done.returncode else line)
    if done.returncode:
        return None
    return float(done.stdout)


def build(rules: Iterable[str]) -> tuple[PatternIndex[int], float]:
    """An index of the rules, and the CPU seconds it took from their JSON text."""
    gc.collect()
    begun = time.process_time()
    index = PatternIndex[int]()
    for number, rule in enumerate(rules):
        index.add(number, rule)
    return index, time.process_time() - begun


def compare(
    name: str, rules: list[str], decoded: list[dict[str, Any]], *, rounds: int
) -> tuple[list[list[str]], float]:
    """The rows of one question, and what an event costs here, in seconds."""
    texts = [json.dumps(event) for event in decoded]
    index, _ = build(rules)
    single = patterns.compile(rules[0])
    moto = [EventPattern.load(rule) for rule in rules]

    def match_here(number: int) -> object:
        event = decoded[number % EVENTS]
        return single.matches(event) if len(rules) == 1 else index.match(event)

    def match_moto(number: int) -> object:
        return sum(rule.matches_event(decoded[number % EVENTS]) for rule in moto)

    few = max(1, 2000 // len(rules))  # a peer that tries rules one by one needs a while for each event
    ours = measure(match_here, count=4000 if len(rules) == 1 else 1000, rounds=rounds)
    spent = {"sluiceway": ours, "moto": measure(match_moto, count=few, rounds=min(rounds, 3))}
    for peer in PEERS:
        found = ask_peer(peer, rules, texts, count=few, rounds=min(rounds, 3))
        if found is not None:
            spent[peer] = found
    rows = [
        [name, side, f"{1 / each:.0f}" if each < 0.1 else f"{1 / each:.1f}", f"{each * 1e6:.1f}", f"{each / ours:.1f}"]
        for side, each in spent.items()
    ]
    return rows, ours


def measure_text(decoded: list[dict[str, Any]], index: PatternIndex[int], *, rounds: int) -> float:
    """What matching from text costs, as a share of decoding it with `json` and matching what is decoded."""
    texts = [json.dumps(event) for event in decoded]
    from_text = measure(lambda number: index.match(texts[number % EVENTS]), count=2000, rounds=rounds)
    decoding = measure(lambda number: json.loads(texts[number % EVENTS]), count=2000, rounds=rounds)
    matching = measure(lambda number: index.match(decoded[number % EVENTS]), count=2000, rounds=rounds)
    return from_text / (decoding + matching)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round: to see that it runs")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    draw = random.Random(7)
    decoded = [make_event(draw) for _ in range(EVENTS)]
    size = sum(len(json.dumps(event, separators=(",", ":"))) for event in decoded) / EVENTS
    selective, mixed = make_selective(draw, 10_000), make_mixed(draw, 10_000)
    rows, verdicts = [], []
    matching = [event | {"source": SOURCES[0], "detail-type": TYPES[0]} for event in decoded]
    for name, rules, events in (
        ("1 rule, all match", [ONE_RULE], matching),
        ("1 rule, few match", [ONE_RULE], decoded),
        ("10,000 selective", selective, decoded),
        ("10,000 mixed", mixed, decoded),
    ):
        found, ours = compare(name, rules, events, rounds=rounds)
        rows += found
        verdicts.append((f"{name}: us an event", ours * 1e6, BUDGET_US[name]))
    verdicts.append(
        ("from text: of decoding and matching", measure_text(decoded, build(selective)[0], rounds=rounds), 1.1)
    )
    index, _ = build(mixed)
    matched = sum(len(index.match(event)) for event in decoded) / EVENTS
    hundred = make_selective(draw, 50_000) + make_mixed(draw, 50_000)
    del index
    large, seconds = min((build(hundred) for _ in range(min(rounds, 3))), key=lambda built: built[1])
    verdicts.append(("100,000 rules built: s", seconds, BUILD_S))
    many = measure(lambda number: large.match(decoded[number % EVENTS]), count=300, rounds=rounds)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Events of {size:.0f} bytes, best of {rounds} rounds, CPU time. Python {version} on {os.cpu_count()} cores.")
    print_table(["rules", "matcher", "events/s", "us", "/ sluiceway"], rows)
    print(
        f"An event matches {matched:.0f} of the mixed rules. 100,000 rules, half of each kind: {1 / many:.0f} events/s."
    )
    for what, measured, budget in verdicts:
        print_verdict(what, measured=measured, budget=budget)


if __name__ == "__main__":
    main()
