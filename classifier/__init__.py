"""From images to a trustworthy image classifier; the stages in `stages/` are its programs."""
