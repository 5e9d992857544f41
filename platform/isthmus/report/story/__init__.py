"""The story of a study: one record of all that is shown of it, and the page that tells it."""
