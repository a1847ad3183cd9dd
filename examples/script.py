"""A plain script: three pictures, each saved as soon as it is there.

FOXAPI_API_KEY=sk-… python examples/script.py out

Run it again, also after Ctrl-C or a power failure: the journal knows what is paid for, and nothing is paid for
twice.
"""

import sys
from pathlib import Path

from foxapi_async import FoxAPIError, PhotaImage
from foxapi_async.sync import Session

PROMPTS = {
    "fox": "A fox in the snow",
    "wolf": "A wolf at the edge of a forest",
    "bear": "A bear that catches a salmon",
}


def main(folder: Path) -> int:
    """Generate and save all prompts; return the number of those without a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    with Session(journal=folder / "journal.db") as session:
        for outcome in session.map((key, PhotaImage(prompt)) for key, prompt in PROMPTS.items()):
            try:
                task = outcome.result()
                if not list(folder.glob(f"{outcome.key}.*")):
                    print(*session.download(task, folder, name=outcome.key))
            except FoxAPIError as error:
                failed += 1
                print(f"{outcome.key}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
