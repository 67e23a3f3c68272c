"""A model whose decoder does what hostile images make decoders do; worker processes import it."""

import os
import threading
from pathlib import Path

from builders.colours import image_of
from classifier.inference.predict import Model, load_model


class HostileModel(Model):
    """Decodes `slow` for ever, ends its process on `crash`, and needs memory for `large`."""

    def read(self, content, max_pixels=None, admit=None):
        if content == b"slow":
            threading.Event().wait()
        if content == b"crash":
            os._exit(1)
        if content == b"fault":
            raise RuntimeError("a fault of ours")
        if content == b"large":
            assert admit is not None
            admit(100 << 20)
            content = image_of("blue")
        return super().read(content, max_pixels)


def load_hostile(folder: Path) -> Model:
    """The model in `folder`, with that decoder."""
    return HostileModel(**vars(load_model(folder, threads=1)))
