"""One item, from a video and a short prompt to a record. Everything else calls this.

::

    survey ─▶ plan ─▶ look ─▶ ask ─▶ review ─▶ record
                               ▲        │
                               └─ again ┘
"""
