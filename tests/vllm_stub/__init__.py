"""A stand-in for vLLM's server, for what surrounds it: starts, deaths, sleep, ends."""
