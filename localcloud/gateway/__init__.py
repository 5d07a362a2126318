"""The HTTP fronts of the local cloud: REST APIs as API Gateway runs them. Ask its modules; nothing is re-exported."""
