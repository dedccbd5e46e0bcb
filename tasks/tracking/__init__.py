"""The only package that imports mlflow: runs, registry, registered models."""
