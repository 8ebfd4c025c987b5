"""From frame probabilities to events: post-processing, its tuning, matching, and files of events."""
