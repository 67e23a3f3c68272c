"""A page of static files that classifies in the browser."""
