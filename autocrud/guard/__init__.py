"""Guard: enforces the rules of access below every operation, for the principal of a call."""
