"""plafond-ready: whether the service of this container is ready, for a health check; loads next to nothing."""

import os
import sys
import urllib.error
import urllib.request

SECONDS_MAX = 3.0


def main() -> None:
    """Ask /readyz on PLAFOND_PORT; exit status 1 and the answer where it is not ready."""
    url = f"http://127.0.0.1:{os.environ.get('PLAFOND_PORT', '9101')}/readyz"
    try:
        urllib.request.urlopen(url, timeout=SECONDS_MAX).close()
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode("utf-8", "replace"))
    except OSError as error:
        sys.exit(f"{url}: {error}")
