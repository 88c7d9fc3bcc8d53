"""Commit log in files: append-only segments of a folder that processes of one machine share."""
