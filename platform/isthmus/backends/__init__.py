"""Floor 7: the only modules that import ray, optuna and mlflow."""
