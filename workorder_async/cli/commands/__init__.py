"""The commands: a file for one command, or for a few that belong together."""
