"""Many tickets in files: what the columns are, and one file for each format that rows can be written in."""
