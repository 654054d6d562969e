"""Analyses of the IR that several passes share; they change nothing."""
