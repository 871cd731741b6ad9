"""Benchmarks and checks on real phones over adb: transport, store, probe, guard, runners and sessions."""
