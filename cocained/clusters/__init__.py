"""Cluster plugins: they find other nodes (protocol.md §3.7)."""
