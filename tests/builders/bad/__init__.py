"""Input that must be refused: archives, images, models and sources with something wrong."""
