"""What answers a request. Each engine is one file behind the port in `base`."""
