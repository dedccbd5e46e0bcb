"""The sections of items and of groups: exposure, who is served worse, similar items, the map."""

from collections.abc import Mapping, Sequence

from recsys.evaluation.groups import GroupRow, ItemGroupRow
from recsys.plots.models import Band
from recsys.report import figures
from recsys.report.page import Panels, Section, Table, Text, section
from recsys.report.tables import StudyTables

DECILES = tuple(f"{10 * n}-{10 * n + 10} %" for n in range(10))


def exposure_section(of: StudyTables) -> Section | None:
    """What the lists show, by how well known it is."""
    if of.catalogue is None or not of.catalogue.exposure:
        return None
    shares = of.catalogue.exposure
    models = {
        model: {label: (s, None, None) for label, s in zip(DECILES, each, strict=True)}
        for model, each in shares.items()
    }
    first = {model: each[0] for model, each in shares.items()}
    said = ", ".join(f"{model} {share:.0%}" for model, share in first.items())
    note = (
        f"All {of.items} by their {of.users} in training, the best known tenth first; how much "
        f"of the lists, and of what is played, each tenth gets. The best known tenth: {said}."
    )
    figure = figures.bars(models, "share", "Exposure by decile of popularity", said, unit="%")
    return section("exposure", "Exposure by popularity", Text(note), figure)


def groups_section(of: StudyTables) -> Section | None:
    """For whom the models are better or worse."""
    drawn, tables = [], []
    for grouping, models in of.groups.items():
        values = {model: _bands(rows) for model, rows in models.items()}
        title = f"{of.metric} by {grouping}"
        drawn.append(figures.bars(values, of.metric, title, _said(values)))
        sizes = {row.group: row.n for rows in models.values() for row in rows}
        rows_of = {
            model: {r.group: r.estimate.text for r in rows} for model, rows in models.items()
        }
        tables.append(_table(grouping, sizes, rows_of, f"{title}, 95 % intervals", of.users))
    if of.item_groups:
        recall = f"recall@{of.k}"
        values = {model: _recalls(rows) for model, rows in of.item_groups.items()}
        title = f"{recall} by popularity of the {of.items}"
        drawn.append(figures.bars(values, recall, title, _said(values)))
        sizes = {r.group: r.n_held_out for rows in of.item_groups.values() for r in rows}
        texts = {
            model: {r.group: r.recall.text for r in rows} for model, rows in of.item_groups.items()
        }
        tables.append(_table("popularity", sizes, texts, f"{title}, 95 % intervals", "held out"))
    if not drawn:
        return None
    note = (
        f"Groups of {of.users} by what is known of them, and of {of.items}: head, middle and tail "
        "hold about a third of all pairs each. A group of a few has an interval that is too narrow."
    )
    return section("groups", "Who is served worse", Text(note, "note"), Panels(drawn), *tables)


def similar_section(of: StudyTables) -> Section | None:
    """What the model takes for alike, of items that readers know."""
    if of.catalogue is None or not of.catalogue.similar:
        return None
    rows = [
        (name, ", ".join(f"{each.name} ({each.score:.2f})" for each in alike))
        for name, alike in of.catalogue.similar.items()
    ]
    title = f"The {len(rows)} best known {of.items}, and those that {of.model} finds most similar"
    table = Table(("well known", "most similar first"), rows, title, texts=(0, 1))
    return section("similar", f"Similar {of.items}", table)


def map_section(of: StudyTables) -> Section | None:
    """The items in the plane that shows most of their factors, or of who plays them."""
    if of.catalogue is None or len(of.catalogue.mapped) < 3:
        return None
    mapped = of.catalogue.mapped
    what, alike, title = (
        "their factors",
        "liked together",
        f"{of.items.capitalize()} whose factors are alike lie together",
    )
    if not of.catalogue.has_factors:
        what = "a truncated SVD of the training matrix"
        alike = f"played by the same {of.users}. No factors of {of.items} are known of {of.model}"
        title = f"{of.items.capitalize()} with the same {of.users} lie together"
    note = (
        f"The {len(mapped):,} best known {of.items} by the two main directions of {what} "
        f"(PCA, {of.catalogue.explained:.0%} of the variance): those that lie together are {alike}"
        f". A larger dot has more {of.users}; point at it to see its name."
    )
    figure = figures.item_map(mapped, title, note, of.users)
    return section("map", f"A map of the {of.items}", Text(note), figure)


def _bands(rows: Sequence[GroupRow]) -> dict[str, Band]:
    return {r.group: (r.estimate.mean, r.estimate.low, r.estimate.high) for r in rows}


def _recalls(rows: Sequence[ItemGroupRow]) -> dict[str, Band]:
    return {r.group: (r.recall.mean, r.recall.low, r.recall.high) for r in rows}


def _said(values: Mapping[str, Mapping[str, Band]]) -> str:
    return "; ".join(
        f"{model}: {', '.join(f'{group} {mean:.3f}' for group, (mean, *_) in groups.items())}"
        for model, groups in values.items()
    )


def _table(
    grouping: str,
    sizes: Mapping[str, int],
    models: Mapping[str, Mapping[str, str]],
    title: str,
    of: str,
) -> Table:
    rows = [
        (group, f"{n:,}", *(texts.get(group, "") for texts in models.values()))
        for group, n in sizes.items()
    ]
    return Table((grouping, of, *models), rows, title)
