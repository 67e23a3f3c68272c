"""From a URL, archive or folder to verified raw files with labels."""
