"""Commands of the engine."""

from memory.extras import require

require("memory.backends.firestore", "firestore")
