"""Producing: records into a stream, batched, in order by key, and `POST /topics/{topic}/records` on top of it.

Start at `producer.py`. `packing.py` makes the calls of what waits, `shards.py` knows the stream's open shards,
`records.py` what is promised for each record; `http.py` is the flow of the function, `ledger.py` its idempotency.
docs/producing.md has the guarantees.
"""
