"""When a model is trained again, and what has to hold before and after it is."""
