"""What every command needs: command line, errors, files, log, progress, worker processes."""
