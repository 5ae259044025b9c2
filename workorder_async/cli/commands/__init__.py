"""The commands, each in a file that is named after it."""
