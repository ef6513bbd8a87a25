"""A search or a comparison as runs of a tracker: what it does not have yet, or has otherwise, is told to it from the stores."""

from __future__ import annotations

import pathlib

from tuning.errors import SearchError, one_line
from tuning.names import TRACKERS
from tuning.results.comparison import Comparison, load_search
from tuning.results.search import SearchResult
from tuning.trackers import make_tracker
from tuning.trackers.replay import catch_up
from tuning.trackers.tracker import Place, Tracked


def to_tracker(name: str, found: SearchResult | Comparison, output: pathlib.Path | None) -> str:
    """Writes all trials that have ended.

    Args:
        name: of the tracker.
        found: whose.
        output: the folder; by default that of the search or the comparison, or what the client's environment says.

    Returns:
        Where they are, in words.
    """
    own = Place.of(found.directory)
    tracker = make_tracker(name, Place(own.directory if output is None else output, own.experiment, output is not None))
    try:
        for group, search in _searches(found):
            catch_up(tracker, Tracked.of(search, group), search)
    except SearchError:
        raise
    except Exception as error:
        raise SearchError(f"The export to {TRACKERS[name]} failed: {one_line(error)}; the same command goes on.") from error
    return tracker.where


def _searches(found: SearchResult | Comparison) -> list[tuple[str, SearchResult]]:
    if isinstance(found, SearchResult):
        return [("", found)]
    folders = [entry.get(what) for what in ("directory", "confirmation") for entry in found.optimizers]
    searches = [(folder, load_search(found.directory / folder)) for folder in folders if folder]
    return [(folder, search) for folder, search in searches if search is not None]
