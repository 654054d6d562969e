"""Tensors whose shape depends on data: buffers of the bound's shape, and per op a rule that keeps the valid part right.

A `Bounded` value has a buffer of static shape, of which the leading box is valid; the device computes the sizes of that
box. A node that reads one stays in the same program where its op has a rule: the op then works on the whole
buffer, and what lies outside of the box is masked where it could reach a valid element (the inner axis of a product, a
reduced axis). Without a rule the node waits for the sizes and becomes part of a later program.
"""

from npucc.frontend.bounded.rules import apply_rule

__all__ = ["apply_rule"]
