"""The certificate of the loopback address: whom it convinces, how long, and who may read its key."""

from __future__ import annotations

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest

from localcloud.secure import RENEWED_DAYS, VALID_DAYS, Trust, read_trust

NOW = dt.datetime.now(dt.UTC)  # certificates are held to the machine's clock


def shake_hands(trust: Trust, roots: Path | None, name: str) -> str:
    """The version that a client agrees on which asks for `name` and trusts `roots`. Raises SSLError."""
    client = ssl.create_default_context()
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 wants by itself
    if roots is not None:
        client.load_verify_locations(roots)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = trust.context().wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(3):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return theirs.version() or ""


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_who_trusts_the_bundle_is_convinced(tmp_path: Path, name: str) -> None:
    """Strictly, for the names of this machine."""
    trust = read_trust(tmp_path, now=NOW)
    assert shake_hands(trust, trust.bundle, name) == "TLSv1.3"


def test_nobody_else_is_convinced_and_of_no_other_name(tmp_path: Path) -> None:
    """Not without the bundle, nor for a name on AWS, nor by another folder's."""
    trust, other = read_trust(tmp_path / "a", now=NOW), read_trust(tmp_path / "b", now=NOW)
    for roots, name in ((None, "localhost"), (trust.bundle, "s3.amazonaws.com"), (other.bundle, "localhost")):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(trust, roots, name)


def test_the_bundle_holds_what_was_trusted_before(tmp_path: Path) -> None:
    """This machine's roots, and one more."""
    context = ssl.create_default_context()
    before = len(context.get_ca_certs())
    found = ssl.create_default_context(cafile=str(read_trust(tmp_path, now=NOW).bundle)).get_ca_certs()
    assert "sluiceway local cloud root" in str(found[-1]["subject"])
    assert len(found) > before or not before


def test_it_is_made_once_and_anew_before_it_ends(tmp_path: Path) -> None:
    """The same for a year; a month before its end there is another."""
    first = read_trust(tmp_path, now=NOW).server.read_bytes()
    kept = read_trust(tmp_path, now=NOW + dt.timedelta(days=VALID_DAYS - RENEWED_DAYS - 1)).server.read_bytes()
    renewed = read_trust(tmp_path, now=NOW + dt.timedelta(days=VALID_DAYS - RENEWED_DAYS + 1)).server.read_bytes()
    assert (kept == first, renewed == first) == (True, False)


def test_what_is_served_elsewhere_stays_until_it_ends(tmp_path: Path) -> None:
    """A local cloud that began with the one before still has the roots for it; what has ended is removed."""
    first = read_trust(tmp_path, now=NOW)
    second = read_trust(tmp_path, now=NOW + dt.timedelta(days=VALID_DAYS - 1))
    assert shake_hands(first, first.bundle, "localhost") == "TLSv1.3"
    third = read_trust(tmp_path, now=NOW + dt.timedelta(days=VALID_DAYS + 1))
    assert (third, first.server.exists(), second.bundle.exists()) == (second, False, True)


def test_only_its_owner_may_read_the_key(tmp_path: Path) -> None:
    """And the key of the root is nowhere."""
    trust = read_trust(tmp_path, now=NOW)
    assert stat.S_IMODE(trust.server.stat().st_mode) == 0o600
    keys = [path.name for path in trust.server.parent.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys == ["server.pem"]
    assert trust.server.read_bytes().count(b"PRIVATE KEY") == 2
