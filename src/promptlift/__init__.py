"""Turn a video and a short prompt into the long, grounded prompt that a video model wants."""
