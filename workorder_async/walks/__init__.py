"""Many pages as one list, each ticket once; knows nothing of how a page is read."""
