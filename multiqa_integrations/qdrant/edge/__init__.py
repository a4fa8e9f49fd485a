"""The embedded engine, Qdrant Edge: files in a directory, searched inside this process."""
