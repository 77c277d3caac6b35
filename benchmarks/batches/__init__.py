"""What `benchmarks/batch.py` measures with, part by part."""
