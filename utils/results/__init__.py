"""What the runs of a workspace reached: statistics, table, figures, page."""
