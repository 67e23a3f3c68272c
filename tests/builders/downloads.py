"""What tests download, with its right and a wrong checksum."""

import hashlib

from classifier.sources.fetch import Checksum

CONTENT = bytes(range(256)) * 4096  # 1 MiB
RIGHT = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())
WRONG = Checksum("sha256", "0" * 64)
