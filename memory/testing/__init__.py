"""What projects that install the app use in their own tests. No code of the product imports it."""
