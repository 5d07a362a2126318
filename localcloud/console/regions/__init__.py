"""The console of several Regions: what their host knows, what each of them says of itself and of the other."""
