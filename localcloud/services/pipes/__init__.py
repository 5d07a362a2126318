"""EventBridge Pipes: from a queue or a stream through a filter and an enrichment to a target."""
