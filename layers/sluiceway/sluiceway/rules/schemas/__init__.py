"""Schemas of records: what a topic takes, and which versions of a schema get along with one another."""
