"""Sluiceway: write Lambda functions as `async def`.

Import from the modules (`from sluiceway.app import App`): the root imports nothing, so a function pays at cold start
for what it uses and for nothing else.
"""
