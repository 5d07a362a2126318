"""Our Lambda runtime client: asks the Runtime API for invocations, runs the handler, sends what it gives.

Put in place of the managed runtime's own client by `AWS_LAMBDA_EXEC_WRAPPER=/opt/bootstrap`; started by `__main__`.
Any handler works: plain functions, `async def`, async generators, and an App, which it drives on the App's own loop.

The way of one invocation: `serving` or `concurrent` (the loop) -> `blocking` or `channel` (the socket) over `requests`
(the bytes) -> `context` (what `next` gave) -> `handler` -> `streaming`, `marshal` or `faults` (what goes back).
Only this package may know the Runtime API. Why it exists and how its transports were chosen: docs/adr/0006.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""
