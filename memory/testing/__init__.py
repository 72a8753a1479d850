"""Test helpers for the app and for projects that install it."""
