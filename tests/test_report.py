"""The page of a run: it needs nothing beside it, hides nothing, and runs nothing that a folder holds."""

import html
import json
import re
from base64 import b64decode
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from equipoise.recipe import Recipe
from equipoise.report import write

VOID = {"meta", "img", "input", "source"}
ABOUT = {"sees": "features", "higher": False}
CARD = {
    "metrics": ["fd", "kid(subsets=50)"],
    "scores": {"fd": ABOUT, "kid": ABOUT},
    "features": "builtin",
    "features_hash": "aa11bb22cc33dd44",
    "resizer": "bilinear to 28x28",
    "n_real": 10000,
    "n_fake": 2000,
    "reference": "fashion",
    "dtype": "float32",
}


class Parsed(HTMLParser):
    """The elements of a page, and its text; fails where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.strong: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("p", "td", "th", "dd", "dt", "h1", "h2", "h3", "li", "figcaption", "style"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
        if "strong" in self.open:
            self.strong.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def score(seen: int, fd: float, when: str = "training", **more: Any) -> dict[str, Any]:
    return {"seen": seen, "weights": "averaged", "seed": 1, "when": when, "fd": fd, "kid": fd / 100, **CARD, **more}


def stat(seen: int) -> dict[str, Any]:
    d = {"d.loss": 1.5, "d.real": 0.4, "d.fake": -0.3, "d.r1": 0.1, "d.gradient": 4.0}
    g = {"g.loss": 0.5, "g.gradient": 2.0}
    return {"seen": seen, "seconds": seen / 500, **d, **g, "ada.p": 0.2, "memory": 700_000_000}


def labels(*names: str) -> dict[str, Any]:
    return {"kind": "classes" if names else "none", "names": names, "mean": [], "std": [], "examples": []}


def make(path: Path, scores: Any = (), stats: Any = (), samples: Any = (), **context: Any) -> Path:
    changes = {"size": "28", "images": 200_000, **context.pop("recipe", {})}
    recipe = Recipe.from_json(Recipe().to_json() | changes).to_json()
    known = {
        "chosen": {"size": "the images' own size"},
        "labels": labels(),
        "players": {"d": ["D"], "g": ["G"]},
        "images": "",
        "hardware": {},
        "versions": {},
    }
    path.mkdir()
    (path / "recipe.json").write_text(json.dumps({"recipe": recipe, **known, **context}))
    for name, rows in (("metrics", scores), ("stats", stats)):
        if rows:
            (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for seen in samples:
        (path / "samples").mkdir(exist_ok=True)
        Image.new("L", (224, 224), seen % 256).save(path / "samples" / f"{seen:010d}.png")
    return path


def full(path: Path, **context: Any) -> Path:
    falling = [score(seen, fd) for seen, fd in ((0, 321.4), (100_000, 20), (190_000, 13.91), (200_000, 14.23))]
    evaluation = score(
        200_000,
        12.5,
        "evaluate",
        n_fake=10_000,
        real_fd=1.75,
        real_kid=0.002,
        real_n=2_000,
        intervals={"fd": [12.1, 12.9]},
    )
    stats = [stat(seen) for seen in range(4_000, 200_001, 4_000)]
    return make(path, [*falling, evaluation], stats, range(0, 200_001, 10_000), **context)


def parse(run: Path) -> Parsed:
    return Parsed(write(run).read_text("utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    hardware = {"device": "cuda", "name": "NVIDIA H200"}
    return parse(full(tmp_path_factory.mktemp("runs") / "fashion", hardware=hardware, versions={"torch": "2.13"}))


def test_the_page_fetches_nothing(whole: Parsed) -> None:
    addresses = [
        attributes[name] for _, attributes in whole.elements for name in ("src", "srcset", "href") if name in attributes
    ]
    assert len(addresses) > 20
    assert all(address and address.startswith("data:image/") for address in addresses)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in whole.elements}


def test_the_style_fetches_nothing(tmp_path: Path) -> None:
    styles = re.findall(r"<style>(.*?)</style>", write(make(tmp_path / "run")).read_text("utf-8"), re.S)
    assert len(styles) == 1
    assert not re.search(r"url\(|@import|https?:", styles[0])


def test_the_plots_fetch_nothing(whole: Parsed) -> None:
    sources = [str(image["src"]) for image in whole.all("img")] + [
        str(source["srcset"]) for source in whole.all("source")
    ]
    drawings = [b64decode(source.split(",")[1]).decode() for source in sources if "svg" in source]
    addresses = [address for drawing in drawings for address in re.findall(r"(?:href=\"|url\()([^\")]+)", drawing)]
    assert addresses
    assert all(address.startswith("#") for address in addresses)


def test_every_plot_is_there_for_light_and_dark(whole: Parsed) -> None:
    dark = [source for source in whole.all("source") if source["media"] == "(prefers-color-scheme: dark)"]
    drawn = [image for image in whole.all("img") if str(image["src"]).startswith("data:image/svg")]
    assert len(drawn) == len(dark) == len(whole.all("picture"))
    assert len(drawn) == 2 * 7  # FD, KD, losses, logits, gradients, R1, ADA; against two axes
    assert all(image["src"] != source["srcset"] for image, source in zip(drawn, dark, strict=True))


def test_every_picture_has_words(whole: Parsed) -> None:
    assert all(image["alt"] for image in whole.all("img"))
    assert all(head.get("scope") in ("col", "row", "rowgroup") for head in whole.all("th"))


def test_headings_leave_no_level_out(whole: Parsed) -> None:
    levels = [int(tag[1]) for tag, _ in whole.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_ids_are_unique_and_labels_have_their_boxes(whole: Parsed) -> None:
    ids = [attributes["id"] for _, attributes in whole.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [label["for"] for label in whole.all("label")] == ids


def test_the_verdict_of_a_whole_run(whole: Parsed) -> None:
    expected = "FD (builtin) fell from 321 to 14.2 in 200,000 images, 6 min 40 s; best 13.9 at 190,000."
    assert expected in whole.text
    assert "unfinished" not in whole.text


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([], "No score yet."),
        ([score(0, 50.0)], "FD (builtin) is 50.0 at 0 images."),
        ([score(0, 50.0), score(1000, 60.0)], "rose from 50.0 to 60.0 in 1,000 images; best 50.0 at 0."),
        ([score(0, 50.0), score(1000, 40.0)], "fell from 50.0 to 40.0 in 1,000 images, its best."),
        ([score(0, 50.0), score(1000, float("nan"))], "is 50.0 at 0 images."),
        ([score(1000, 12.5, "evaluate")], "FD (builtin) is 12.5 at 1,000 images, by an evaluation."),
        (
            [{"seen": 8, "when": "training", "kid": 0.5, **CARD, "scores": {"kid": ABOUT}}],
            "KD (builtin) is 0.500 at 8 images.",
        ),
    ],
)
def test_verdicts(tmp_path: Path, scores: list[dict[str, Any]], verdict: str) -> None:
    assert verdict in parse(make(tmp_path / "run", scores, recipe={"images": 1000}, samples=[1000])).text


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    page = parse(make(tmp_path / "run", stats=[stat(64), stat(50_000)]))
    assert "No score yet. The run is unfinished: 50,000 of 200,000 images." in page.text
    assert "unfinished, 25 %" in page.text
    assert "equipoise train " in page.text


def test_only_an_unfinished_run_is_resumed(whole: Parsed) -> None:
    assert "equipoise sample" in whole.text
    assert "equipoise evaluate" in whole.text
    assert "equipoise train" not in whole.text


def test_every_field_of_the_recipe_is_there_with_its_reason(tmp_path: Path) -> None:
    chosen = {"size": "the images' own size", "channels": "all images are grey", "features": "needs no download"}
    run = make(
        tmp_path / "run",
        chosen=chosen,
        recipe={"channels": 1, "features": "random", "loss": "wasserstein", "images": 1500},
    )
    row = r'<tr><th scope="row">(\w+)</th><td><code>([^<]+)</code></td><td class="why">([^<]+)</td></tr>'
    found = {name: (value, html.unescape(why)) for name, value, why in re.findall(row, write(run).read_text("utf-8"))}
    assert set(found) == {field.name for field in fields(Recipe)}
    assert found["loss"] == ("wasserstein", "set")
    assert found["images"] == ("1,500", "set")
    assert found["fit"] == ("crop", "default")
    assert {name: found[name][1] for name in chosen} == {name: f"chosen: {reason}" for name, reason in chosen.items()}


def test_evaluations_come_with_their_card(whole: Parsed) -> None:
    expected = (
        "10,000 generated against 10,000 real images of fashion; builtin features aa11bb22cc33dd44; "
        "fd, kid(subsets=50); bilinear to 28x28; float32"
    )
    assert expected in whole.text
    assert "200,000 averaged 1 12.5 (12.1 to 12.9) 0.125" in whole.text
    assert "2,000 held-out real images 1.75 0.00200" in whole.text


def test_the_card_of_real_images_says_how_many_they_are(whole: Parsed, tmp_path: Path) -> None:
    assert "FD (builtin) of 2,000 held-out real images 1.75 as many as were generated" in whole.text
    evaluated = score(8, 3.5, "evaluate", n_fake=10_000, real_fd=0.25, real_kid=0.0, real_n=10_000)
    other = score(8, 3.5, "evaluate", reference_hash="b", real_fd=0.75, real_kid=0.0, real_n=2_000)
    page = parse(make(tmp_path / "run", [score(0, 5.0), evaluated, other]))
    assert "FD (builtin) of 10,000 held-out real images 0.250 the scores are of 2,000 generated ones" in page.text
    assert "what 10,000 held-out real images score. The scores are of 2,000 generated ones" in page.text


def test_the_scores_of_evaluations_stand_out(whole: Parsed) -> None:
    assert whole.strong == ["12.5 (12.1 to 12.9)", "0.125", "1.75", "0.00200"]


def test_all_scores_say_once_how_they_were_measured(whole: Parsed) -> None:
    assert whole.text.count("2,000 generated against 10,000 real images of fashion") == 1
    assert (
        "Images seen FD (builtin) KD (builtin) 0 321 3.21 100,000 20.0 0.200 190,000 13.9 0.139 200,000 14.2 0.142"
        in whole.text
    )


def test_scores_that_were_measured_in_two_ways_are_never_in_one_column(tmp_path: Path) -> None:
    evaluated = [score(8, 3.5, "evaluate", n_fake=n) for n in (100, 200)]
    page = parse(make(tmp_path / "run", [score(0, 5.0), score(8, 3.0, n_fake=512), *evaluated]))
    tables = page.text.split(" generated against")
    assert len(tables) == 5
    for table, (before, row) in zip(
        tables[1:], [("512", "0 5.00"), ("100", "8 3.00"), ("200", "8 averaged")], strict=False
    ):
        assert row in table
        assert table.endswith(before)


def test_more_may_be_better(tmp_path: Path) -> None:
    higher = {"scores": {"fd": {"sees": "features", "higher": True}}}
    page = parse(make(tmp_path / "run", [score(0, 2.0, **higher), score(8, 3.0, **higher), score(9, 2.5, **higher)]))
    assert "best 3.00 at 8" in page.text
    assert "higher is better" in page.text


def test_machine_and_speed(whole: Parsed) -> None:
    assert (
        "Time in training 6 min 40 s Speed overall 500 images/s Speed lately 500 images/s Most memory 700 MB"
        in whole.text
    )
    assert "NVIDIA H200" in whole.text
    assert "Version: torch 2.13" in whole.text


def test_samples_over_time_are_few_and_have_their_scores(whole: Parsed) -> None:
    strip = [str(image["alt"]) for image in whole.all("img") if str(image["alt"]).startswith("Samples after")]
    assert len(strip) == 10
    assert strip[0] == "Samples after 0 images"
    assert strip[-1] == "Samples after 200,000 images"
    assert "180,000 FD (builtin) 20.0 at 100,000" in whole.text


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ("inception", ("FID", "KID")),
        ("builtin", ("FD (builtin)", "KD (builtin)")),
        ("random(seed=0)", ("FD (random(seed=0))", "KD (random(seed=0))")),
    ],
)
def test_a_score_has_the_name_that_its_features_give_it(tmp_path: Path, features: str, names: tuple[str, str]) -> None:
    rows = [score(8, 3.0, features=features), score(8, 3.0, "evaluate", features=features)]
    page = parse(make(tmp_path / "run", rows))
    fd, kd = names
    assert f"{fd} is 3.00 at 8 images" in page.text
    assert f"Best {fd} 3.00" in page.text
    assert f"Seed {fd} {kd}" in page.text
    assert ("FID" in page.text) == (features == "inception")


def test_scores_of_classes_have_a_table(tmp_path: Path) -> None:
    values = {"intra_fd.0": 1.5, "intra_fd.1": 2.5, "intra_fd": 2.0, "classes": ["dress", "bag"]}
    row = {**score(200_000, 12.5), "when": "evaluate", **values}
    page = write(make(tmp_path / "run", scores=[row])).read_text("utf-8")
    table = page[page.index("Each class at 200,000 images") :]
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table[: table.index("</table>")])
    assert cells[2:] == [
        *("intra-FD of dress (builtin)", "1.50", "intra-FD of bag (builtin)", "2.50", "mean", "2.00"),
    ]
