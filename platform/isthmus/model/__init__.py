"""Floor 1: the fusion autoencoder, its blocks, its losses and what can be said of its size."""
