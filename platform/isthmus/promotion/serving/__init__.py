"""What a request to a served model may hold, and what it is answered."""
