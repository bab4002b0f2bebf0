"""What a study has found, put to use: bundles, the model registry, running it again."""
