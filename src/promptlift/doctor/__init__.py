"""Looks at everything a run needs, and says what is wrong and what to do.

`finding` is what a check says; `core` looks at what every run needs, `machine` at the computer,
`models` at the engines; `examine` runs them all.
"""
