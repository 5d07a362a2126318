"""Amazon S3, by moto."""
