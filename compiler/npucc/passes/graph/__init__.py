"""Passes of the graph level, one per file; the `*_rules` files hold their rewrites."""
