"""What an answer is worth: each data set's own rules, as counts whose sums make the score. Torch-free."""
