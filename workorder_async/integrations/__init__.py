"""Adapters to other libraries: one optional dependency a file."""
