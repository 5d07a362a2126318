"""Letting callers in: whom a bearer token speaks for, through rotations and outages of whoever signed it.

Start at `request.py`, the flow of an API's authorizer. `gate.py` verifies against several issuers, `key_ring.py` keeps
one issuer's keys, `opening.py` makes them of the settings. Decisions are in `rules.tokens`; docs/authorizer.md has the
guarantees.
"""
