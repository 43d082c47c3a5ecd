"""Side-by-side measurements and figures, one command each."""
