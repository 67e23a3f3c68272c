"""Import Matplotlib with its own defaults and the Agg backend.

Every module of this library imports Matplotlib's names from here. Otherwise a user's matplotlibrc,
also one in the current folder, would change the bytes of the charts, and a notebook's MPLBACKEND
would make the import fail if the backend of that notebook is not installed.
"""

import os

# Matplotlib reads the variable when it is imported. Charts are only written to files.
os.environ["MPLBACKEND"] = "agg"

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

__all__ = [
    "Axes",
    "Axis",
    "Figure",
    "FigureCanvasAgg",
    "MaxNLocator",
    "PercentFormatter",
    "PowerNorm",
]

matplotlib.rcdefaults()
