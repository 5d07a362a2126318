"""Flows: what the application does with an event, through ports only.

One module a kind of work. A flow asks `rules` for decisions, acts through `ports` and models, and raises `Retryable` or
`Rejected`; it never knows an AWS request shape.
"""
