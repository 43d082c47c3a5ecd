"""Metrics, slices and reports on incidents that the model has not seen."""
