"""Helps for the tests of projects that install the app; imported by no product code."""
