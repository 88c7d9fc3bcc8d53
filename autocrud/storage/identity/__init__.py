"""Identity of a store, and the guard that compares the identity while a process runs."""
