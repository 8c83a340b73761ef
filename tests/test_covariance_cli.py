"""``equishare discover --covariance``, from a file to a report."""

import json

import numpy as np
import pandas as pd
import pytest

from equishare.cli import main
from equishare.datafiles import read_data


def told(arguments, capsys):
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    return ending.value.code, capsys.readouterr()


@pytest.fixture
def table(tmp_path):
    covariance = 0.2 + 0.5 * np.kron(np.eye(3), np.ones((2, 2))) + 0.3 * np.eye(6)
    x = np.random.default_rng(0).multivariate_normal(np.zeros(6), covariance, size=300)
    frame = pd.DataFrame(x, columns=["left eye", "right eye", "left ear", "right ear", "left hand", "right hand"])
    frame["who"] = "somebody"
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    return tmp_path / "pairs.csv"


def test_a_table_becomes_a_report(table, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed = told(["discover", str(table), "--covariance", "--out", str(out)], capsys)
    assert not code, printed.err
    assert "The symmetry is C_2 ≀ S_3" in printed.out
    assert "The 21 covariances of 6 variables share 3 different values." in printed.out
    assert "left eye with right eye" in printed.out
    assert "Not used: who." in printed.out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "The covariance</h2>" in page
    assert "generator 1: variables" in page and "a way to permute variables that leaves" in page
    found = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    assert found["names"]["variables"][0] == "left eye"
    assert found["symmetry"]["order"] == "48"
    assert found["symmetry"]["closure_gap"] == 0


def test_some_columns(table, capsys):
    code, printed = told(
        ["discover", str(table), "--covariance", "--inputs", "left eye,right eye,left ear", "--json"], capsys
    )
    assert not code, printed.err
    assert json.loads(printed.out)["names"] == {"variables": ["left eye", "right eye", "left ear"]}


def test_samples_without_names(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 5])
    code, printed = told(["discover", str(tmp_path / "x.npy"), "--covariance"], capsys)
    assert not code, printed.err
    assert "No symmetry can be told from these data." in printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--means", "--covariance"], "means and covariance are two questions"),
        (["--covariance", "--outputs", "left eye"], "covariance must be asked of columns of one kind"),
        (["--covariance", "--train-fraction", "0.8"], "train_fraction must be 0.5 for covariances"),
        (["--covariance", "--method", "bilevel"], "method must be one of auto, gap, merge, no_sharing, oracle"),
        ([], "--covariance"),
    ],
)
def test_wrong_calls(arguments, message, table, capsys):
    code, printed = told(["discover", str(table), *arguments], capsys)
    assert code == 2
    assert message in printed.err


def test_a_covariance_is_asked_of_one_array(tmp_path):
    np.savez(tmp_path / "xy.npz", x=np.ones((4, 2)), y=np.ones((4, 1)))
    with pytest.raises(ValueError, match="covariance must be asked of one array of samples"):
        read_data(tmp_path / "xy.npz", covariance=True)
