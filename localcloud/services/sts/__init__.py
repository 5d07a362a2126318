"""The Security Token Service over the IAM model."""
