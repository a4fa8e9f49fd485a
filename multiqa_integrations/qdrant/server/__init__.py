"""Servers, Qdrant Cloud and the client's local mode, through qdrant-client."""
