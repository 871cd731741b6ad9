"""Latency measurements that can be believed."""
