"""The picture of a report: its top, as a browser shows it.

    python scripts/picture_report.py DIR --output PICTURE.png

`keras-optims report DIR` writes the report; Chromium turns it into a PNG file.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from scripts.chromium import write_screenshot

WIDTH, HEIGHT = 1280, 548  # pixels: as far as the first chart


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=pathlib.Path, metavar="DIR", help="of a search or a comparison")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="PICTURE.png")
    arguments = parser.parse_args()
    report = arguments.directory / "report.html"
    if not report.is_file():
        parser.error(f"There is no report in {arguments.directory}; `keras-optims report {arguments.directory}` writes it.")
    write_screenshot(report, arguments.output, WIDTH, HEIGHT)
    print(arguments.output)


if __name__ == "__main__":
    main()
