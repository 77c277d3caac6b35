"""What can be measured about a video without a model, with NumPy alone."""
