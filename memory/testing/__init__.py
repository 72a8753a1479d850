"""What tests of the app, and of projects that install it, need; no product code imports it."""
