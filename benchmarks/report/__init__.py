"""One HTML page of many benchmark records."""
