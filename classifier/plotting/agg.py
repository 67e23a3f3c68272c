"""Import Matplotlib with its own defaults and the Agg backend.

Every module of this library imports Matplotlib's names from here. Otherwise a user's matplotlibrc,
also one in the current folder, would change the bytes of the charts, and a notebook's MPLBACKEND
would make the import fail if the backend of that notebook is not installed.
"""

import os
from contextlib import suppress
from functools import cache

# Matplotlib reads the variable when it is imported. Charts are only written to files.
os.environ["MPLBACKEND"] = "agg"

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter

__all__ = [
    "Artist",
    "Axes",
    "Axis",
    "FT2Font",
    "Figure",
    "FigureCanvasAgg",
    "FontEntry",
    "MaxNLocator",
    "PercentFormatter",
    "PowerNorm",
    "Text",
    "findfont",
    "installed_fonts",
]

matplotlib.rcdefaults()


@cache
def installed_fonts() -> list[FontEntry]:
    """Return all fonts of the machine, also those that came after Matplotlib made its list."""
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            # Damaged files, and formats that FreeType cannot read.
            with suppress(OSError, RuntimeError, ValueError):
                fontManager.addfont(path)
    return list(fontManager.ttflist)
