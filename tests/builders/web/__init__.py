"""Servers of this machine, and the browser that asks them."""
