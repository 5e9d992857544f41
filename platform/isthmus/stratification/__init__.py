"""Floor 2: strata of embeddings and their association with phenotypes. Never trains."""
