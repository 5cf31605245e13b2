"""The whole system on one machine without Docker: servers, services, and the demo."""
