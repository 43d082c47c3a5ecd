"""The data contract and the leakage check."""
