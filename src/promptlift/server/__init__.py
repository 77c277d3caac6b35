"""The HTTP service: upload or name a video, get the prompt, from any language.

``app.make_app`` composes it and ``serving.serve`` runs it; the layers, the routes and what is not
trusted are in ``docs/design/0003-server.md``.
"""
