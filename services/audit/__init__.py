"""The books checked against themselves and against the topics: every identity that must hold, and what breaks it."""
