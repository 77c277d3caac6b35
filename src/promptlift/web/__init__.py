"""The page at ``/``: the server's jobs in a browser."""
