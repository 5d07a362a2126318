"""What moto's models were made for and is gone is no longer in memory."""

from __future__ import annotations

import gc

from localcloud.delegate import Delegate
from localcloud.services.contract import WireRequest

SIGNED = {
    "authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}


async def test_objects_that_were_overwritten_are_forgotten() -> None:
    """Fifty puts of one key leave one object, a deletion none."""
    delegate = Delegate()

    async def ask(method: str, path: str, body: bytes = b"") -> int:
        request = WireRequest(
            service="s3", region="us-east-1", method=method, path=path, query="", headers=SIGNED, body=body,
            access_key="k", request_id="r",
        )  # fmt: skip
        return (await delegate.call(request, "s3.us-east-1.amazonaws.com")).status

    try:
        assert await ask("PUT", "/memory-of-moto") == 200
        before = _count()
        for number in range(50):
            assert await ask("PUT", "/memory-of-moto/key", b"%d" % number) == 200
        assert _count() - before == 1
        assert await ask("DELETE", "/memory-of-moto/key") == 204
        assert _count() - before == 0
    finally:
        await ask("DELETE", "/memory-of-moto")
        delegate.close()


def _count() -> int:
    gc.collect()
    return sum(type(each).__name__ == "FakeKey" for each in gc.get_objects())
