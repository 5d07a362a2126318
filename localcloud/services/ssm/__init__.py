"""Systems Manager's Parameter Store, delegated to moto."""
