"""Django's SQLite engine with case-sensitive pattern lookups, as on Firestore."""
