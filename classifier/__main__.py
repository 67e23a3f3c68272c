"""Run the program `classifier` as `python -m classifier`."""

from classifier.commands.main import run

run()
