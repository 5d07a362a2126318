"""Data products of the streaming mesh: descriptors beside the template, checked against it. Never ships to Lambda."""
