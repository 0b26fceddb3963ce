"""Joined projections: which rows of several tables make a document, and how."""
