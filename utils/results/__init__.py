"""The results of a workspace: statistics, table, figures, page."""
