"""Records in format 1: lines of writes and blobs, gathered in entries that form a chain."""
