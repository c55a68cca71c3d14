"""Turns the blocks of one story in the README into a script: what is to be run, and what it has to print.

    readme_story.py README.md STORY
"""

import re
import sys

PRELUDE = """set -euo pipefail
printed() {
  if [ "$1" != "$(cat "$output")" ]; then
    echo "the README says that this is printed:" >&2
    echo "$1" >&2
    exit 1
  fi
}
output=$(mktemp)
trap 'rm -f "$output"' EXIT
"""


def blocks(text: str, story: str) -> list[tuple[str, str]]:
    """(verb, block) of each directive of the story, in order."""
    found = re.findall(r"<!-- test:(\w+) ([^\n]*?) -->\n```[^\n]*\n(.*?)\n```", text, re.DOTALL)
    return [(verb, block) for owner, verb, block in found if owner == story]


def main() -> None:
    path, story = sys.argv[1:]
    with open(path, encoding="utf-8") as readme:
        steps = blocks(readme.read(), story)
    if not any(verb == "output" for verb, _ in steps):
        sys.exit(f"{path}: story {story!r} checks nothing")
    script = PRELUDE
    for verb, block in steps:
        if verb == "run":
            script += f"{{\n{block}\n}} | tee \"$output\"\n"
        elif verb == "output":
            script += f"printed {quoted(block)}\n"
        else:
            sys.exit(f"{path}: {verb!r} is no verb of story {story!r}")
    print(script)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


main()
