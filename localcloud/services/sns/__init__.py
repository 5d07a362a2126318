"""SNS: topics, subscriptions and their delivery, native."""
