"""The HTTP API: predict from a verified bundle."""
