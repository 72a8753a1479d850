"""Who may use the API: access tokens (hashed, scoped, expiring), and the owner ids of users.

An app of its own, `INSTALLED_APPS = [..., "memory.access"]`, since both belong to users: they live in the database
of the users, which may differ from `MEMORY["DATABASE"]`.
"""
