"""Measure services that speak the Images API v2, side by side, in one run.

A figure taken on a busy machine means little by itself; beside another figure taken a moment
later on the same machine it means something.  So every cell is measured on each target in turn,
and the limits of the machine can be measured in between.  See README.rst.
"""
