"""What all packages share: paths, files, settings, methods, intervals, progress."""
