"""Time split, boosters, calibration: from a snapshot to a fitted model."""

import os

# Both boosters bring an OpenMP that spins while it waits; on a machine that does
# anything else at the same time, spinning made a fit ten times slower. Read when the
# libraries load, so it is set before they do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
