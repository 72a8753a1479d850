"""The same queries on SQLite and on Firestore, which must have the same answers."""
