"""Adapters: the memory as the sessions, stores and checkpoints of agent frameworks. See docs/adapters/.

Each module or package needs its framework, an extra of the wheel. Importing one needs no Django settings: these are
read at the first use.
"""
