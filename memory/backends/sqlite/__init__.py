"""Django's SQLite engine with the pattern lookups of a database that knows upper from lower case."""
