"""What lies between the Regions of one local cloud."""
