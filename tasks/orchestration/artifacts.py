"""Artifacts of a flow run that grow: made once, then replaced, by a thread that keeps pace.

The work never waits for Prefect: what changes while a write is on its way is written by the next.
"""

import hashlib
import math
import re
import threading
import time
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

INTERVAL = 2.0  # seconds from one write to the next: one costs 25 ms, as much as a third of a trial
SHARE = 0.02  # of the time so far: a server keeps each write as an event, with all its data
LAST_WAIT = 5.0  # seconds for the last write, while the work has ended
ERRORS = (httpx.HTTPError, PrefectException, OSError, RuntimeError)  # that of a closed client, too


@dataclass(frozen=True, slots=True)
class ShownArtifact:
    """What an artifact shows.

    Attributes:
        key: Of one kind of artifact of one study; the page Artifacts shows the last of each.
        type: "progress": the data are a percentage; "table": JSON of a list of rows.
        data: As Prefect stores it.
        description: In Markdown.
    """

    key: str
    type: Literal["progress", "table"]
    data: Any
    description: str


def artifact_key(kind: str, name: str) -> str:
    """A key as Prefect takes it (small letters, digits and dashes), a different one for each name.

    Args:
        kind: Of the artifact, such as "leaderboard".
        name: Of the study.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:100]
    if plain != name:
        plain = f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".strip("-")
    return f"{kind}-{plain}"


def put(shown: ShownArtifact) -> None:
    """Make an artifact of this flow run, or replace the one with the same key; idempotent."""
    flow_run = _flow_run()
    assert flow_run is not None
    client = get_client(sync_client=True)
    known = _known(client, flow_run, shown.key)
    if known is None:
        _make(client, flow_run, shown)
    else:
        _replace(client, known, shown)


def _flow_run() -> UUID | None:
    context = FlowRunContext.get()
    return None if context is None or context.flow_run is None else context.flow_run.id


def _known(client: SyncPrefectClient, flow_run: UUID, key: str) -> UUID | None:
    mine = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]),
        flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]),
    )
    return next((each.id for each in client.read_artifacts(artifact_filter=mine)), None)


def _make(client: SyncPrefectClient, flow_run: UUID, shown: ShownArtifact) -> UUID:
    return client.create_artifact(
        ArtifactCreate(
            key=shown.key,
            type=shown.type,
            data=shown.data,
            description=shown.description,
            flow_run_id=flow_run,
        )
    ).id


def _replace(client: SyncPrefectClient, known: UUID, shown: ShownArtifact) -> None:
    client.update_artifact(known, ArtifactUpdate(data=shown.data, description=shown.description))


class ArtifactWriter:
    """Writes the artifacts of this flow run; outside of one, nothing.

    Attributes:
        error: Why the last write failed; None where it did not. A later one may succeed.
    """

    def __init__(self) -> None:
        """Start its thread."""
        self.error: str | None = None
        self._latest: Sequence[ShownArtifact] | None = None
        self._is_writing, self._is_closed, self._said = False, False, False
        self._start = time.monotonic()
        self._begun = -math.inf
        self._changed = threading.Condition()
        self._known: dict[str, UUID] = {}
        self._flow_run = _flow_run()
        self._thread: threading.Thread | None = None
        if self._flow_run is not None:
            context = copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._keep,), daemon=True)
            self._thread.start()

    @property
    def is_live(self) -> bool:
        """Whether this is a flow run, which has a page."""
        return self._thread is not None

    @property
    def is_due(self) -> bool:
        """Whether a write would begin at once: the last has ended, and is not too recent."""
        if not self.is_live or self._is_writing or self._latest is not None:
            return False
        now = time.monotonic()
        return now - self._begun >= max(INTERVAL, SHARE * (now - self._start))

    def write(self, shown: Sequence[ShownArtifact]) -> None:
        """Have them written soon, in place of what still waits."""
        with self._changed:
            self._latest = shown
            self._changed.notify()

    def close(self, shown: Sequence[ShownArtifact] = ()) -> None:
        """End once these are written, or after a while without them."""
        if self._thread is None:
            return
        with self._changed:
            self._latest, self._is_closed = shown or None, True
            self._changed.notify()
        if shown:
            self._thread.join(LAST_WAIT)

    def _keep(self) -> None:
        while True:
            with self._changed:
                while self._latest is None and not self._is_closed:
                    self._changed.wait()
                latest, self._latest = self._latest, None
                if latest is None:
                    return
                self._is_writing, self._begun = True, time.monotonic()
            self._write(latest)
            self._is_writing = False

    def _write(self, latest: Sequence[ShownArtifact]) -> None:
        try:
            for each in latest:
                self._put(each)
            self.error = None
        except ERRORS as error:
            self.error = f"{type(error).__name__}: {error}".splitlines()[0]
            if not self._said:
                self._said = True
                get_run_logger().warning("artifacts are not up to date: %s", self.error)

    def _put(self, shown: ShownArtifact) -> None:
        assert self._flow_run is not None
        client = get_client(sync_client=True)
        if shown.key not in self._known:
            known = _known(client, self._flow_run, shown.key)
            if known is None:
                self._known[shown.key] = _make(client, self._flow_run, shown)
                return
            self._known[shown.key] = known
        _replace(client, self._known[shown.key], shown)
