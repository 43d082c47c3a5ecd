"""What ships CrimeGuard: images, manifests, rules, dashboards."""
