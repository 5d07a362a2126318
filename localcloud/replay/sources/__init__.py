"""Where records to send again come from: a stream, a queue of dead letters, objects in a bucket."""
