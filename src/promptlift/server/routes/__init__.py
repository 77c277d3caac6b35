"""The routes, thin: each takes what came in, has the service do it, and says what came of it."""
