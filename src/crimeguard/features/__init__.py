"""One featurizer for training frames, batch frames and single incidents."""
