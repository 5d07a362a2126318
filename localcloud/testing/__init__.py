"""A template's local cloud inside a test run: pytest's fixture `sluiceway_app` and what it gives."""
