"""isthmus: search, ablate and trust multimodal fusion autoencoders of brain images."""

__version__ = "0.1.0"
