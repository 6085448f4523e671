"""The HTML report: whole, self-contained, accessible, and small for logs of any length."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic_runs import Run, constant, write_csv, write_folder
from test_grid_findings import folder_with_tiles

from srgan_cli import runfolder as names
from srgan_cli.diagnose import examine, read_run
from srgan_cli.diagnose.charts import BUILDERS, panel_for, panels_of
from srgan_cli.diagnose.html import report_html
from srgan_cli.diagnose.log import RunLog, build_log
from srgan_cli.diagnose.panels import envelope, make_curve, phases_of
from srgan_cli.diagnose.plots import draw
from srgan_cli.diagnose.previews import MAX_BYTES, last_pictures
from srgan_cli.diagnose.rules import RULES
from srgan_cli.diagnose.series import Series

VOID = {"meta", "img", "path", "use", "br", "link"}


class Page(HTMLParser):
    """Ids, links, images, drawings and text; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.drawings: list[list[str]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "img":
            self.images.append(given)
        if tag == "svg":
            assert given["role"] == "img"
            self.drawings.append([])
        elif "svg" in self.open and len(self.open) - self.open.index("svg") == 1:
            self.drawings[-1].append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(path: Path) -> tuple[str, Page]:
    log = read_run(path)
    text = report_html(examine(log), log)
    return text, Page(text)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    folder = folder_with_tiles(tmp_path_factory.mktemp("html") / "run", sr=0.08)
    for step in (400, 1200, 2000):
        folder_image(folder, step, 200)
    return page_of(folder)


def folder_image(folder: Path, step: int, side: int) -> None:
    (folder / "images").mkdir(exist_ok=True)
    pixels = np.random.default_rng(step).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "images" / f"step_{step:06d}.png")


def test_nothing_is_loaded_and_nothing_runs(faulty: tuple[str, Page]) -> None:
    text, page = faulty
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert not re.search(r"url\((?!#)|@import|<script|<link|javascript:", text)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:" in text


def test_links_and_ids(faulty: tuple[str, Page]) -> None:
    _, page = faulty
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert "#IMG01" in page.links
    assert {f"doc-{rule.code}" for rule in RULES} <= set(page.ids)


def test_drawings_and_pictures_have_words(faulty: tuple[str, Page]) -> None:
    _, page = faulty
    assert len(page.drawings) >= 8
    assert all({"title", "desc"} <= set(inside) for inside in page.drawings)
    assert all(image["alt"] for image in page.images)
    # Severity is never told by colour alone.
    assert "\u2716 Error IMG01 The images show a grid-locked pattern" in page.text


def test_light_and_dark(faulty: tuple[str, Page]) -> None:
    text, _ = faulty
    assert "color-scheme:light dark" in text
    defined = set(re.findall(r"--([a-z]+):", text))
    assert set(re.findall(r"var\(--([a-z]+)", text)) <= defined
    assert text.count("prefers-color-scheme:dark") == 2


def test_the_last_panels_of_both_phases(faulty: tuple[str, Page]) -> None:
    _, page = faulty
    assert "Step 400, pretraining: LR, bicubic, SR, HR, error" in page.text
    assert "Step 2000, GAN: LR, bicubic, SR, HR, error" in page.text
    assert len(page.images) == 2


def test_what_the_report_says_is_in_it(faulty: tuple[str, Page]) -> None:
    _, page = faulty
    assert "this training has a problem: 1 error" in page.text
    assert "Optimizers.optim_d_lr: 0.0001 -> 5e-05" in page.text
    assert "GAN04 : 150 adversarial rows; needs 200" in page.text
    assert "Phase map of the grid-locked pattern, step 2000" in page.text


def test_hostile_text_stays_text(diagnosed) -> None:
    report = replace(diagnosed("GAN02").report, source="<script>alert(1)</script>&\"'")
    page = Page(report_html(report, None))
    assert page.drawings == [], "without a log there are no curves"
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    "drop", ["", "generator", "discriminator", "val_metrics", "lr_", "everything"]
)
def test_missing_series_are_explained(drop: str, tmp_path: Path) -> None:
    def without(kind: str, step: int, values: dict[str, float]) -> dict[str, float]:
        if drop == "everything":
            return {"some/other": 1.0}
        return {key: v for key, v in values.items() if not drop or not key.startswith(drop)}

    log = read_run(write_csv(Run(edit=without), tmp_path / "metrics.csv"))
    text = report_html(examine(log), log)
    page = Page(text)
    for panel in panels_of(log, examine(log)):
        if panel.empty:
            assert f"Nothing to show: {panel.empty}." in page.text
    assert "Nothing to show: the run has no images/ folder." in page.text
    if drop == "everything":
        assert page.drawings == []


@pytest.mark.parametrize("code", ["NUM01", "GAN08", "LOG01", "SCH01", "SYS04"])
def test_runs_of_every_kind(code: str, diagnosed) -> None:
    _, log, report = diagnosed(code)
    page = Page(report_html(report, log))
    assert code in page.ids


def test_long_logs_stay_small() -> None:
    steps = np.arange(100_000, dtype=np.int64)
    rng = np.random.default_rng(0)

    def noisy(level: float) -> Series:
        return Series(steps, level * np.exp(rng.normal(0, 0.3, len(steps))))

    metrics = [names.G_CONTENT, names.G_ADVERSARIAL, names.D_LOSS, names.D_REAL, names.D_FAKE]
    metrics += [names.G_RATE, names.D_RATE, names.G_NORM, names.D_NORM, names.STEP_SECONDS]
    metrics += ["adv/grad_ratio", "val_metrics/l1", "val_metrics/psnr", names.ADV_WEIGHT]
    columns = {name: noisy(0.3) for name in metrics}
    columns[names.PRETRAIN_PHASE] = Series(steps, (steps < 1000).astype(np.float64))
    log = build_log(columns, source="long", form="CSV log")
    text = report_html(examine(log, []), log)
    # The drawings hold as much of any longer log.
    assert len(text.encode()) < 2_500_000


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_an_envelope_keeps_ends_and_extremes(values: list[float], points: int) -> None:
    series = Series(np.arange(len(values), dtype=np.int64), np.array(values))
    thin = envelope(series, points)
    assert len(thin) <= max(points, 4)
    assert {thin.values.min(), thin.values.max()} == {min(values), max(values)}
    assert (thin.steps[0], thin.steps[-1]) == (0, len(values) - 1)
    assert bool((np.diff(thin.steps) > 0).all())
    assert thin.values.tolist() == series.values[thin.steps].tolist()


def test_long_noise_is_drawn_with_its_median() -> None:
    steps = np.arange(5000, dtype=np.int64)
    curve = make_curve("noise", Series(steps, np.random.default_rng(0).normal(3, 1, 5000)), 200)
    assert curve is not None
    assert curve.median is not None
    assert len(curve.series) <= 200
    assert float(np.ptp(curve.median.values)) < 1.5


def test_large_panels_are_shrunk(tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    folder_image(folder, 2000, 900)
    assert (folder / "images" / "step_002000.png").stat().st_size > MAX_BYTES
    pictures = last_pictures(read_run(folder))
    assert not isinstance(pictures, str)
    kind, _, data = pictures[0].address.partition(";base64,")
    raw = base64.b64decode(data)
    assert kind == "data:image/jpeg"
    assert len(raw) <= MAX_BYTES
    Image.open(io.BytesIO(raw)).verify()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_damaged_panels_are_named(content: bytes, tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    (folder / "images").mkdir()
    (folder / "images" / "step_002000.png").write_bytes(content)
    assert last_pictures(read_run(folder)) == "images/step_002000.png cannot be read"


def test_every_code_has_a_plot(tmp_path: Path) -> None:
    assert {panel_for(rule.code) for rule in RULES} <= {*BUILDERS, ""}
    assert panel_for("GAN02") == "balance"
    assert panel_for("ABC99") in BUILDERS


def test_chance_is_where_the_labels_put_it(tmp_path: Path) -> None:
    def levels(log: RunLog) -> list[float]:
        (panel,) = [each for each in panels_of(log, examine(log)) if each.name == "balance"]
        return [level.value for level in panel.levels]

    smooth = read_run(write_folder(Run(), tmp_path / "smooth"))
    config = {"Training.label_smoothing": False}
    plain = read_run(write_folder(Run(config=config), tmp_path / "plain"))
    assert levels(smooth) == [0.45]
    assert levels(plain) == [0.5]


def test_cuts_and_bests_are_marked(diagnosed) -> None:
    _, log, report = diagnosed("SCH09")
    panels = {each.title: each for each in panels_of(log, report)}
    cuts = [mark.step for mark in panels["Learning rates"].marks]
    assert cuts == [700, 1000, 1300, 1600, 1900]
    best = {mark.label: mark for mark in panels["Validation psnr"].marks}
    assert set(best) == {"best of pretraining", "best with the GAN"}
    assert best["best with the GAN"].value == log.adv("val_metrics/psnr").values.max()


def test_command(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run")
    code, out, err = srgan("diagnose", run, "--html")
    assert code == 1
    assert f"wrote {run / 'report.html'}" in err
    assert "GAN01" in out
    assert "GAN01" in Page((run / "report.html").read_text(encoding="utf-8")).ids
    other = tmp_path / "other.html"
    assert srgan("diagnose", run, "--html-file", other)[0] == 1, "report.html is no second run"
    assert other.read_text(encoding="utf-8") == (run / "report.html").read_text(encoding="utf-8")
    code, out, err = srgan("diagnose", run, "--html-file", other)
    assert (code, out) == (2, "")
    assert "other.html exists" in err


def test_the_report_of_a_log_lies_beside_it_and_is_made_anew(srgan, tmp_path: Path) -> None:
    log = write_csv(Run(stop_at=100), tmp_path / "metrics.csv")
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    assert srgan("diagnose", log, "--html")[0] == 0
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).drawings


def test_what_cannot_be_asked_for(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(), tmp_path / "run")
    for arguments, words in (
        (["--html", "--html-file", tmp_path / "a.html"], "both say where the HTML report goes"),
        ([tmp_path / "out.html", "--html"], "--html-file"),
        (["--html-file", run], "is a folder"),
        (["--html-file", run / "metrics.jsonl", "--overwrite"], "is what the diagnosis reads"),
    ):
        before = (run / "metrics.jsonl").read_bytes()
        code, out, err = srgan("diagnose", run, *arguments)
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert (run / "metrics.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_written(srgan, tmp_path: Path, monkeypatch) -> None:
    run = write_folder(Run(stop_at=100), tmp_path / "run")

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("srgan_cli.files.write_text", full)
    code, _, err = srgan("diagnose", run, "--html")
    assert code == 2
    assert "report.html cannot be written: No space left on device" in err


def extremes() -> dict[str, np.ndarray]:
    steps = np.arange(40)
    return {
        "zero": np.zeros(40),
        "constant": np.full(40, 3.0),
        "huge": 10.0 ** np.linspace(0, 300, 40),
        "tiny": 10.0 ** -np.linspace(0, 300, 40),
        "negative": -1.0 - steps / 10,
        "both signs": np.where(steps % 2, 1e300, -1e300),
        "broken": np.where(steps > 3, np.nan, 1.0),
    }


@pytest.mark.parametrize("kind", list(extremes()))
@pytest.mark.parametrize("first", [0, -20, 10**15])
def test_extreme_values_are_drawn(kind: str, first: int) -> None:
    metrics = [names.G_CONTENT, names.G_RATE, "val_metrics/l1", names.G_NORM, names.ADV_WEIGHT]
    steps = np.arange(40, dtype=np.int64) * 5 + first
    columns = {metric: Series(steps, extremes()[kind].copy()) for metric in metrics}
    log = build_log(columns, source="log", form="CSV log")
    panels = panels_of(log, examine(log, []))
    shown = [panel for panel in panels if not panel.empty]
    assert shown
    for panel in shown[:2]:
        svg = draw(panel, phases_of(log))
        assert not re.search(r"[ML] ?(nan|inf)", svg)
        assert svg.count("<path") > 5
