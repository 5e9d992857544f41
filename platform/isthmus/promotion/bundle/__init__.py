"""A folder with all that a served model needs: written, verified, loaded and used."""
