"""What is served: bundles, and the MLflow registry that names them."""
