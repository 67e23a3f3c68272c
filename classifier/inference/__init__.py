"""Run an exported model where there is no PyTorch."""
