"""WebSocket APIs as API Gateway runs them. Ask its modules; nothing is re-exported."""
