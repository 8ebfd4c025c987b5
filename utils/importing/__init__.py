"""Recordings and annotations as people have them -> a data set in the challenge's layout."""
