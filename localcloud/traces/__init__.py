"""What happened to each request inside the local cloud: spans of gateway, queues, functions, model and calls."""
