"""A failover rehearsed on a running pair of Regions, under load, and counted."""
