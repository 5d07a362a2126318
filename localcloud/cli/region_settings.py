"""Settings of `sluiceway doubts` and `sluiceway regions`: a function's of the tier `home`, or words in their place.

Owns what `--local` changes. Must not know what the settings mean; `sluiceway.region.records` reads them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from localcloud.regions.switching import LOCAL_KEYS
from localcloud.state import read_state
from sluiceway import settings

__all__ = ["read_region_settings"]


def read_region_settings(options: argparse.Namespace, words: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, with what was said in its place: `words` has the setting of each option. Raises NotRunning."""
    environ = dict(settings.environ())
    if options.local:
        state = read_state(options.state)
        environ |= {"AWS_ENDPOINT_URL": state.endpoints["aws"], "AWS_REGION": state.region, **LOCAL_KEYS}
        environ.pop("AWS_ENDPOINT_URL_DYNAMODB", None)
        environ.pop("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", None)
    said = {name: getattr(options, word) for word, name in words.items()}
    return environ | {name: value for name, value in said.items() if value}
