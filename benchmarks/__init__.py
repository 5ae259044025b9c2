"""The library against floors measured in the same run: `python -m benchmarks` prints one line per row."""
