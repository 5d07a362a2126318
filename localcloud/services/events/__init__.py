"""EventBridge: buses, rules and their targets, on the indexed pattern engine of the layer."""
