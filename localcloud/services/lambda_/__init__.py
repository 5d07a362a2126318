"""The Lambda API: what an SDK sees of the functions that `localcloud.compute` runs."""
