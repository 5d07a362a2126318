"""DynamoDB: item operations, expressions, indexes, transactions and time to live, in memory or kept in SQLite."""
