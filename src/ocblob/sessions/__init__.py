"""Verbs about whole sessions of a host: retained by policy, sealed in archives, put back."""
