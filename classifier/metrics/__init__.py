"""Pure functions of arrays: classification, calibration, intervals."""
