"""What several commands share: options and charts."""
