"""What it takes to talk to a server with an OpenAI-compatible API.

`address` checks where to go and with which key, `connections` opens the way, `client` sends and
tries again, `failures` says what a refusal means, `serving` reads what the server says about
itself, `pictures` makes the frames fit to be sent, `chat` writes the messages and reads the
answers, and `metrics` reads a server's gauges.
"""
