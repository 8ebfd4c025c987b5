"""A data set in the challenge's layout: its tables, its subsets, and their check."""
