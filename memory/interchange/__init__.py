"""Import and export: JSON lines, ChatGPT data exports, LangChain message lists.

bytes -> `frames` (one JSON value each) -> `formats` (detected by content) -> `Entry` or `Reject` -> `store`.
All stages before `store` are pure; `load` connects them. `export` is the inverse.
"""
