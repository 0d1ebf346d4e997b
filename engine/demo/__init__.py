"""The demo world, the demo model's training recipe and its check.

Nothing else in the engine knows that a model is the demo model: it is loaded like any other model directory.
"""
