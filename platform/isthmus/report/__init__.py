"""Floor 5: tables, figures and pictures of what was computed below."""
