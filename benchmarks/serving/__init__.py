"""Our API beside others, on the same model, machine and load."""
