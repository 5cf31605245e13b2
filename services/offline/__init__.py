"""The same core over files, without any server."""
