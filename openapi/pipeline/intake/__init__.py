"""Get a document from wherever it is, and read what came."""
