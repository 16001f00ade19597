"""Trackers: events of trials appended to a local outbox, and mirrored into MLflow by another
process.
"""
