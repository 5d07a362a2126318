"""Amazon SQS: standard and FIFO queues, on the AWS JSON and Query protocols."""
