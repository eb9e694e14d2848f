"""Properties that hold for any request and any matrix of counts."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scdit._checks import check_int, check_number
from scdit.conditions import Category, name_requests, resolve_n
from scdit.model._counts import read_counts
from scdit.model._registration import CountsField

NAMES = ["1", "2", "10", "B cells", "µ", "nan"]
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
LABELS = Category("labels", "label", np.array(NAMES, dtype=object))


@QUICK
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=20))
def test_names_find_their_codes_and_come_back(names):
    codes = LABELS.encode(names)
    assert LABELS.decode(codes).tolist() == names
    requests = name_requests([LABELS], names, None, None)
    assert resolve_n(None, requests) == len(names)


@QUICK
@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 50), min_size=1))
def test_a_series_of_numbers_means_what_its_mapping_means(wanted):
    series = pd.Series(wanted, dtype=int)
    by_series, by_mapping = (
        name_requests([LABELS], request, None, None) for request in (series, wanted)
    )
    assert by_series == by_mapping == {"label": wanted}


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 1000)),
        min_size=1,
        max_size=40,
    )
)
def test_any_way_to_store_counts_is_read_as_the_same(entries):
    """Duplicate and unsorted entries, stored zeros, and other layouts."""
    rows, columns, values = (np.array(x) for x in zip(*entries, strict=True))
    coo = sp.coo_matrix((values.astype(np.float32), (rows, columns)), shape=(5, 4))
    dense = coo.toarray()
    order = np.argsort(rows, kind="stable")
    raw = sp.csr_matrix((5, 4), dtype=np.float32)
    raw.data, raw.indices = coo.data[order], columns[order].astype(np.int32)
    raw.indptr = np.r_[0, np.cumsum(np.bincount(rows, minlength=5))].astype(np.int32)
    stored = raw.data.copy(), raw.indices.copy()
    digests = set()
    for matrix in (raw, dense, np.asfortranarray(dense), sp.csc_matrix(dense)):
        adata = ad.AnnData(layers={"x": matrix}, shape=(5, 4))
        np.testing.assert_array_equal(read_counts(adata, "x").toarray(), dense)
        digests.add(CountsField("x").digest(adata))
    assert len(digests) == 1
    np.testing.assert_array_equal(raw.data, stored[0])  # as it was
    np.testing.assert_array_equal(raw.indices, stored[1])


@QUICK
@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans()))
def test_checks_return_what_is_allowed_or_name_the_argument(value):
    for check, allowed in ((check_int, int), (check_number, float)):
        message = None
        try:
            checked = check("x", value)
        except ValueError as error:
            message = str(error)
        if message is None:
            assert type(checked) is allowed
            assert checked == allowed(value)
        else:
            assert message.startswith("x must be")
