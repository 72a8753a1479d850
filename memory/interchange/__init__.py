"""Import and export: JSON lines of our own, and conversations of other products.

bytes -> `frames` (one JSON value each) -> `formats` (detected by content) -> `Entry` or `Reject` -> `order` -> `store`.
All stages before `store` are pure; `load` connects them. `export` is the inverse.
"""
