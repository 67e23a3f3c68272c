"""What recorded answers say about images that change (drift)."""
