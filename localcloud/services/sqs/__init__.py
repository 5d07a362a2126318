"""Amazon SQS: standard queues, on the AWS JSON and Query protocols."""
