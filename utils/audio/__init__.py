"""From recordings to log-mel features and the scalar, and the files that hold them."""
