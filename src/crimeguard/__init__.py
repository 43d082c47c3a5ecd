"""A crime-category prediction service that watches itself."""

__version__ = "0.1.0"
