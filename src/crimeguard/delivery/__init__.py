"""How a build reaches those who use it: the stages of a pipeline, the release on a cluster."""
