"""The Glue Schema Registry: moto keeps it, and which version may follow which is decided here."""
