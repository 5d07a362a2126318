"""Amazon Bedrock's runtime: Converse, answered by one of the local models."""
