"""CloudWatch Logs, as far as functions write and people read: groups, streams, events."""
