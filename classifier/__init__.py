"""From images to a trustworthy image classifier; the stages in `stages/` are its programs."""

from classifier.core.environment import prepare_environment

prepare_environment()
