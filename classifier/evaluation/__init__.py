"""What the test split says."""
