"""Records in and out: JSON lines of our own, ChatGPT's data export, LangChain's message lists.

bytes -> `frames` -> one JSON value each -> `formats` (recognised by content) -> `Entry` or `Reject` -> `store`.
Everything before `store` is pure; `reader` ties it together. `export` is the way back.
"""
