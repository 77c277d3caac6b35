"""Many items: inputs, the journal that loses nothing, the run, the export.

``rows`` says what is to be done, ``inputs`` reads it, ``readings`` keeps it in the run's folder;
``journal`` keeps what was done; ``runner`` does it; ``export`` and ``report`` tell of it. The
guarantee and the format of the folder are in ``docs/design/0002-batch.md``.
"""
