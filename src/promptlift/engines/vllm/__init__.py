"""A vLLM that promptlift owns: a child process of its own, asked over loopback."""
