"""The end of data: erasing a person with a receipt, retention by rule, and an audit of who did what.

    from memory.lifecycle.erasure import erase

`inventory`, `digests`, `receipts` and `policies` are pure; the other modules use the database.
"""
