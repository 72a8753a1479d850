"""Transactions with retries on contention; see `docs/transactions.md`."""

from .transactions.retry import run_in_transaction

__all__ = ["run_in_transaction"]
