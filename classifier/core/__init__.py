"""Files, parameters, errors, processes, random streams, code digests; knows nothing of images."""
