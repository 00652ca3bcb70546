"""Tests of `kloster.stores`."""
