"""Code that is written into a template: index.py in a folder of its own, and `cfnresponse` beside it where it asks.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from localcloud.compute.installer import make_once

__all__ = ["inline_folder"]

_ASKS: Final = re.compile(r"^\s*import cfnresponse\s*$", re.MULTILINE)  # "use only this exact import statement"
_MODULE: Final = "cfnresponse.py"


def inline_folder(text: str, cache_dir: Path) -> Path:
    """The folder that holds `text` as index.py; made once for each text."""
    beside = Path(__file__).with_name(_MODULE).read_text(encoding="utf-8") if _ASKS.search(text) else ""
    digest = hashlib.sha256((text + beside).encode()).hexdigest()[:16]

    def write(folder: Path) -> None:
        (folder / "index.py").write_text(text, encoding="utf-8")
        if beside:
            (folder / _MODULE).write_text(beside, encoding="utf-8")

    return make_once(cache_dir / "inline" / digest, write)
