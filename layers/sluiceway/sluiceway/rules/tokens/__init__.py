"""Bearer tokens: JSON Web Tokens with asymmetric signatures, of issuers that are named, for audiences that are named.

Pure: keys, token and time come as arguments, and nothing that a token says is ever fetched. `compact` reads a token's
text, `keys` an issuer's key set, `signatures` has the closed list of algorithms, `claims` what must be said, `refusals`
the closed list of reasons; `verifier` puts them together for keys that are already here, `caching` decides when an
issuer's keys are read again, `trust` reads the settings. docs/authorizer.md has the guarantees.
Sources: https://www.rfc-editor.org/rfc/rfc7519, https://www.rfc-editor.org/rfc/rfc7515 and
https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

from sluiceway.rules.tokens.claims import LEEWAY_S, Claims, Identity, IssuerRules, name_caller
from sluiceway.rules.tokens.keys import Key, KeySet, read_keys
from sluiceway.rules.tokens.refusals import REASONS, InvalidKeys, InvalidToken
from sluiceway.rules.tokens.verifier import Verifier

__all__ = [
    "LEEWAY_S",
    "REASONS",
    "Claims",
    "Identity",
    "InvalidKeys",
    "InvalidToken",
    "IssuerRules",
    "Key",
    "KeySet",
    "Verifier",
    "name_caller",
    "read_keys",
]
