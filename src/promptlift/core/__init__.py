"""The pure part: no input or output, no clock, no third-party import but pydantic."""
