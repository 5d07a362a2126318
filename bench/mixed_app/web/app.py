"""What HTTP clients call; bench/mixed_load.py writes the version anew while it runs."""

import json
import os
from pathlib import Path
from typing import Any

VERSION = 0


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    asked = json.loads(event["body"])
    with (Path(os.environ["EVIDENCE"]) / asked["kind"]).open("a") as file:
        file.write(f"{asked['number']}\n")
    return {"statusCode": 200, "body": json.dumps({"number": asked["number"], "version": VERSION})}
