"""Whether the server of this container answers: 0 where HEALTH_URL does, 1 where not."""

import os
import sys
import urllib.error
import urllib.request

SECONDS = 4


def main() -> int:
    """Ask once."""
    try:
        with urllib.request.urlopen(os.environ["HEALTH_URL"], timeout=SECONDS):
            return 0
    except (urllib.error.URLError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
