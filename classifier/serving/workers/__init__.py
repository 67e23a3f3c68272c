"""Processes and threads that decode images and run the model for the server."""
