"""Pure drawing: data and a size in, styled terminal cells out, no application known."""
