"""The Key Management Service, delegated to moto."""
