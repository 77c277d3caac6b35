"""A batch on more than one machine.

``ray`` runs it on Ray Data and is the only module that imports Ray. What it is made of knows
nothing of Ray: ``desk`` hands out the rows, ``looking`` decodes and plans, ``asking`` asks the
engine and writes the journal, ``parcels`` is what travels between them.
"""
