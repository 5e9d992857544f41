"""The look into the lockbox: how unseen subjects fare, and which findings come back."""
