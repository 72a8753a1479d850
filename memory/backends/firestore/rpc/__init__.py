"""Calls of Firestore: channel, messages, values on the wire, and the executor of plans."""

from memory.extras import require

require("memory.backends.firestore", "firestore")
