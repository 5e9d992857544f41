"""Floor 1: the models, each family a module with its objective."""
