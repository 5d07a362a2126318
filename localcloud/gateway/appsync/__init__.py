"""The front of AppSync's Event APIs: HTTP and WebSocket in, the broker, answers and frames out."""
