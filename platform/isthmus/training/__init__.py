"""Floor 2: fitting a model on one fold, resumably, and what the fit is compared with."""
