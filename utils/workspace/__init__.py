"""Where everything made from a data set lies."""
