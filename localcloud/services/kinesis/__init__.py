"""Amazon Kinesis Data Streams: shards, resharding, polling and enhanced fan-out, on the AWS JSON protocol."""
