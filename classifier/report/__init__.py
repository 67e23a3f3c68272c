"""One run on a page and in a card."""
