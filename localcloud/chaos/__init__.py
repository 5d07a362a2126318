"""Faults that are asked for: in a function's Runtime API, in calls to AWS, between Regions; by a plan and a seed."""
