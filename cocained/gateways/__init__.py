"""
Gateways: where remote services are (protocol.md §3.6).
"""
