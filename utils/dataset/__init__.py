"""A data set in the challenge's layout: its tables, its check, and the demonstration set."""
