"""Unit tests of guards."""
