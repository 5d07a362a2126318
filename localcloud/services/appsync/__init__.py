"""AWS AppSync: Event APIs. Operations of GraphQL APIs are refused by name."""
