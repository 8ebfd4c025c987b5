"""From recordings to log-mel features and the files that hold them."""
