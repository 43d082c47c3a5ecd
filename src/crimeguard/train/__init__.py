"""Time split, boosters, calibration: from a snapshot to a fitted model."""
