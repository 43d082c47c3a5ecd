"""The prediction path as compiled code: optional, and the same answers as NumPy's."""
