"""The programs behind `classifier <command>`: argument parsing and printing only."""
