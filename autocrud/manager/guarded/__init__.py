"""Managers under rules: what a principal may do, and no more."""
