"""The commands, those that are near each other in one file."""
