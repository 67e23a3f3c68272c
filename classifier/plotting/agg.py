"""Matplotlib with its own defaults and the Agg backend, whatever surrounds the program.

Every module of this library takes Matplotlib's names from here. Otherwise a user's matplotlibrc,
also one in the current folder, would change the bytes of the charts, and a notebook's MPLBACKEND
would make the import of Matplotlib fail where that notebook's backend is not installed.
"""

import os

# Matplotlib reads it when it is imported, and charts are only written to files.
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
