"""What can be set: the values of `utils/config.py`, checked, and in groups by what they are for."""
