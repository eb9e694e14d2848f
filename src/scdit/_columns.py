"""Columns of ``obs`` that scdit writes and reads."""

GENERATED = "scdit_generated"  # tells generated cells from real ones
