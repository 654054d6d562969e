"""Runs programs: functional simulator, cycle model, hazard checker, traces."""
