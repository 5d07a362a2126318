"""Route 53: hosted zones, record sets, health checks, and answers over DNS, as far as failover hangs on them."""
