"""Secrets Manager, delegated to moto."""
