"""The HTTP service: upload or name a video, get the prompt, from any language.

``run.create_app`` makes the application and ``run.run_server`` runs it. Why it is as it is stands
in ``docs/design/decisions.md``.
"""
