"""The session without a screen: what a notebook would do with it."""

import subprocess
import sys
import threading
from queue import Queue

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.session import ExplorerSession

START = Settings(n_restorations=2, lambda_s="p20", lambda_p="p20", flag_voxels="p60", flag_slices="p5", method="light")


class ThreadRunner:
    """Runs generators in a thread; `turn` calls back in the thread that calls it, as a main loop would."""

    def __init__(self):
        self.muted, self.calls, self._slot = False, Queue(), None

    @property
    def running(self):
        return self._slot is not None

    def start(self, steps, on_step, on_end):
        self.quit()
        slot = self._slot = {"stop": False}

        def work():
            failed = False
            try:
                for step in steps:
                    self.calls.put((slot, on_step, (step,)))
                    if slot["stop"]:
                        break
            except Exception:
                failed = True
            self.calls.put((slot, on_end, (slot["stop"], failed)))

        threading.Thread(target=work, daemon=True).start()

    def quit(self):
        if self._slot is not None:
            self._slot["stop"] = True

    def detach(self):
        self.quit()
        self._slot = None

    def turn(self):
        """Call back until nothing is running."""
        while self.running or not self.calls.empty():
            slot, call, arguments = self.calls.get(timeout=30)
            if slot is not self._slot or self.muted:
                continue
            if len(arguments) == 2:
                self._slot = None
            call(*arguments)


class Shown(ExplorerSession):
    """A front-end that remembers what it drew."""

    def __init__(self, runner):
        super().__init__(START, 64 * 2**20, runner)
        self.pictures = []

    @property
    def shown_map(self):
        return "pixel_score"

    def draw(self):
        assert threading.current_thread() is threading.main_thread()
        self.pictures.append(self.explorer.map("pixel_score").copy())


@pytest.fixture
def session(head, tiny_bundle):
    """A session with the small head, analysed."""
    volume, mask = head
    runner = ThreadRunner()
    session = Shown(runner)
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), session.settings)
    explorer.load_scan(volume, mask)
    session.open(explorer)
    session.work()
    runner.turn()
    session.runner = runner
    yield session
    session.close()


def test_an_analysis_is_drawn_to_its_end(session):
    assert session.explorer.complete
    np.testing.assert_array_equal(session.pictures[-1], session.explorer.map("pixel_score"))
    assert session.pictures[-1].max() > 0


def test_a_cheap_setting_is_drawn_at_once_and_starts_no_work(session):
    told = []
    session.busy.connect(told.append)
    before = session.pictures[-1]
    session.change(k=0.0)
    assert told == []
    assert not np.array_equal(session.pictures[-1], before)


def test_a_setting_of_the_networks_is_worked_on(session):
    before = session.pictures[-1]
    told = []
    session.advanced.connect(told.append)
    session.change(lambda_p="p60")
    assert session.running
    session.runner.turn()
    assert session.explorer.complete
    assert told[-1] == "Ready."
    assert not np.array_equal(session.pictures[-1], before)


def test_what_another_changes_in_the_explorer_is_drawn_too(session):
    drawn = len(session.pictures)
    session.explorer.change(session.settings.model_copy(update={"pooling": "none"}))
    assert len(session.pictures) == drawn + 1


def test_an_explorer_that_was_left_is_not_heard(session, head, tiny_bundle):
    old, (volume, mask) = session.explorer, head
    new = Explorer(old.bundle, old.settings)
    new.load_scan(volume, mask)
    session.open(new)
    drawn = len(session.pictures)
    old.change(old.settings.model_copy(update={"pooling": "none"}))
    assert len(session.pictures) == drawn


def test_findings_are_listed_when_they_are_wanted(session):
    session.list_findings()
    assert session.review.found == []
    session.reviewing = True
    session.list_findings()
    assert session.review.found
    session.change(lambda_p="p70")
    assert session.review.note.startswith("From earlier settings")
    session.runner.turn()
    assert session.review.note == ""


def test_verdicts_that_would_be_lost_are_named(session):
    session.reviewing = True
    session.list_findings()
    assert session.unsaved_words() == []
    session.review.set_verdict(session.review.found[0], "accepted")
    assert session.unsaved_words() == ["1 verdict or note is not saved in a study, report or table yet."]
    assert session.clear() == 1
    assert session.explorer is None
    assert session.review.found == []


def test_the_flagged_slices_go_round(session):
    flagged = np.flatnonzero(session.explorer.flagged_slices())
    assert len(flagged) > 1
    seen = []
    for _ in flagged:
        session.explorer.focus = session.flagged_after(1)
        seen.append(session.current())
    assert sorted(seen) == flagged.tolist()
    back = session.flagged_after(-1)
    assert back == seen[-2]


def test_without_flagged_slices_it_says_so(session):
    told = []
    session.advanced.connect(told.append)
    session.change(flag_slices=1e9)
    assert session.flagged_after(1) is None
    assert told[-1] == "No slice is flagged; lower the threshold for slices."


def test_a_closed_session_draws_nothing(session):
    drawn = len(session.pictures)
    session.close()
    session.explorer.change(session.settings.model_copy(update={"pooling": "none"}))
    assert len(session.pictures) == drawn
    session.close(False)
    session.redraw()
    assert len(session.pictures) == drawn + 1


def test_a_value_that_does_not_fit_changes_nothing(session):
    before = session.settings
    with pytest.raises(ValueError, match="n_restorations"):
        session.change(n_restorations=0)
    assert session.settings == before


def test_it_needs_no_screen():
    code = (
        "import sys, napari_vqad.session; "
        "print([m for m in ('qtpy', 'napari', 'superqt', 'magicgui', 'vispy') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
