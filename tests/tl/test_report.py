import re

import pytest

import scdit


@pytest.fixture
def page(train, test, fresh, tmp_path) -> str:
    fresh.uns["scdit"] = {"sampler": "ddim", "note": "<b>50 steps</b>"}
    table = scdit.tl.evaluate(
        test, fresh, labels_key="cell_type", reference=train, metrics=["mmd", "marker_slope"]
    )
    path = scdit.tl.report(
        test,
        fresh,
        tmp_path / "report.html",
        labels_key="cell_type",
        reference=train,
        evaluation=table,
        basis="pca",
    )
    return path.read_text(encoding="utf-8")


def test_the_page_stands_alone(page):
    assert page.count('src="data:image/png;base64,') == 4
    assert not re.search(r"<script|<link|https?://", page)


def test_the_verdict_is_on_top(train, test, fresh, tmp_path):
    draws = [fresh, fresh[::-1].copy()]
    table = scdit.tl.evaluate(
        test, draws, reference=train, metrics=["c2st_lr_genes", "correlation_error"]
    )
    path = scdit.tl.report(
        test, fresh, tmp_path / "report.html", reference=train, evaluation=table, basis="pca"
    )
    text = path.read_text(encoding="utf-8")
    box = text[text.index('<div class="verdict') : text.index("At a glance")]
    assert "indistinguishable" in box or "close" in box
    assert "logistic regression on genes (AUC)" in box
    assert "±" in box
    assert "Fitted on the training cells." in text


def test_without_a_classifier_there_is_no_verdict(page):
    assert "No verdict" in page


def test_tables_scroll(page):
    """Each table stands in a box of its own, which is as wide as the page."""
    assert page.count("<table") == page.count('<div class="wide"><table')
    assert '<abbr title="Slope of' in page


def test_the_page_shows_table_labels_and_provenance(page):
    assert "Unbiased squared maximum mean discrepancy" in page
    assert "Each label" in page
    assert "ddim" in page
    assert "&lt;b&gt;50 steps" in page


def test_the_page_evaluates_by_itself_and_without_labels(test, fresh, tmp_path, monkeypatch):
    seen = {}

    def evaluate(real, generated, **kwargs):
        seen.update(kwargs)
        return scdit.tl.evaluate(real, generated, metrics=["mmd"], **kwargs)

    monkeypatch.setattr("scdit.tl._report.evaluate", evaluate)
    path = scdit.tl.report(test, fresh, tmp_path / "report.html", basis="pca")
    assert seen["labels_key"] is None
    text = path.read_text(encoding="utf-8")
    assert "copies of them cannot be found" in text
    assert "Provenance" not in text


def test_labels_are_looked_for_with_an_evaluation_too(train, test, fresh, tmp_path):
    path = tmp_path / "report.html"
    table = scdit.tl.evaluate(test, fresh, metrics=["mmd"])
    for given in (None, table):
        with pytest.raises(KeyError, match="'cell_typ'.*did you mean 'cell_type'"):
            scdit.tl.report(
                test, fresh, path, labels_key="cell_typ", evaluation=given, basis="pca"
            )
    train = train.copy()
    del train.obs["cell_type"]
    with pytest.raises(KeyError, match="reference.obs"):
        scdit.tl.report(
            test,
            fresh,
            path,
            labels_key="cell_type",
            reference=train,
            evaluation=table,
            basis="pca",
        )
    with pytest.raises(ValueError, match=r"evaluation\['sd'\] must hold numbers"):
        scdit.tl.report(test, fresh, path, evaluation=table.assign(sd="0.1"), basis="pca")
    assert not path.exists()
