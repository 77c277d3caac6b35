"""Batch runs on a cluster."""
