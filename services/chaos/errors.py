"""What may go wrong with the chaos itself."""


class ChaosError(Exception):
    """The chaos could not go on, or found what must never be; the message says which."""
