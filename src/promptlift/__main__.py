"""``python -m promptlift`` is the command."""

from promptlift.cli.main import main

main()
