"""Discoveries whose reports are looked at, and the reports taken apart."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

import equishare as es
from equishare.problems import About, Slot
from equishare.problems.answers import Belief, Quality
from equishare.result.confidence import Confidence
from equishare.result.discovery import Discovery
from equishare.result.origin import Origin

HOSTILE = """"><script>throw 1</script><img src='http://x.invalid/a' onerror="throw 2">&amp;\u2028</script>.npz"""


def ring_labels(size: int) -> np.ndarray:
    i = np.arange(size)
    return np.minimum((i[:, None] - i) % size, (i - i[:, None]) % size)


def answer(partitions, values=None, named=False, noun=None, **more) -> Discovery:
    """A discovery of parameters by name, each in a slot of its own."""
    partitions = {name: es.Partition(labels) for name, labels in partitions.items()}
    slots = []
    for name, one in partitions.items():
        usual = "weight" if len(one.shape) == 2 else "mean"
        slots.append(replace(Slot.of(name, one.shape, noun or usual), named=named))
    first = next(iter(partitions.values()))
    about = About(f"which of {len(first)} means are equal", 30, 70)
    if len(first.shape) == 2:
        about = About("which weights of y = W x + b are shared", 30, 70, facts=(("map", sizes(*first.shape)),))
    usual = {"slots": tuple(slots), "about": about, "method": "auto", "seed": 3, "no_sharing_loss": 0.125}
    return Discovery(partitions=partitions, group_values=values or {}, **{**usual, **more})


def sizes(outputs, inputs):
    return f"{inputs} input{'s' * (inputs > 1)} → {outputs} output{'s' * (outputs > 1)}"


def found(labels, history=None, origin=None, seed=0, confidence=None) -> Discovery:
    partition = es.Partition(labels)
    loss = 0.1 + np.exp(-np.linspace(0, 5, 12))
    return answer(
        {"w": labels},
        {"w": np.random.default_rng(seed).normal(size=partition.num_groups)},
        bias=np.ones(partition.shape[0]) if len(partition.shape) == 2 else None,
        validation_loss=float(loss[-1]),
        history={"num_groups": np.arange(1, 13), "validation_loss": loss} if history is None else history,
        origin=origin,
        confidences={} if confidence is None else {"w": confidence},
    )


def believed(d, spread=0.0, log_odds=100.0, guess=None) -> Discovery:
    """The same with a belief; entries stand within the spread about the value of their group."""
    rng = np.random.default_rng(0)
    mean = d.theta + spread * rng.uniform(-1, 1, d.theta.shape)
    judged = d.partition.labels if guess is None else guess
    return replace(d, belief=Belief(spread, (spread / 2, 2 * spread), mean, log_odds, judged))


def measured(d) -> Discovery:
    """The same with estimates of its entries, which lie within their errors of the value of their group."""
    noise = 0.1 * np.random.default_rng(1).uniform(-1, 1, d.theta.shape)
    errors = 0.1 / np.sqrt(d.partition.group_sizes)
    told = Quality(d.theta + noise, np.full(d.theta.shape, 0.1), errors, 0.75, 1e-9, 0.01)
    return replace(d, quality=told)


def named(d, *labels) -> Discovery:
    """The same with names of the entries along each axis."""
    return replace(d, slots=(replace(d.slots[0], labels=tuple(map(tuple, labels))),))


def confidence(labels, seed=0) -> Confidence:
    """Resamples of which each moves some entries to groups of their own."""
    rng = np.random.default_rng(seed)
    partition = es.Partition(labels)
    flat = partition.labels.ravel()
    moved = rng.random((20, flat.size)) < 0.1
    return Confidence(partition, np.where(moved, flat.size + np.arange(flat.size), flat))


def origin(call="equishare discover a.npz", data="a.npz") -> Origin:
    return Origin(call, {"python": "3.11.0", "equishare": "0.1.0", "torch": "2.6.0", "numpy": "2.0.0"}, data)


def of_model(partitions: dict[str, object]) -> Discovery:
    return answer(
        partitions,
        named=True,
        noun="entry",
        is_of_model=True,
        about=About("which entries or slices of a model's parameters are shared", None, None, "loss"),
        validation_loss=0.5,
        no_sharing_loss=float("nan"),
        seed=0,
        history={"step": np.arange(5), "validation_loss": np.array([3.0, 2.0, np.nan, 1.0, 0.5])},
        complete=False,
        settled=False,
    )


class Page(HTMLParser):
    """A page taken apart; unbalanced or unknown nesting is an error.

    Attributes:
        text: what is read, without scripts and styles.
        elements: name and attributes of each element.
        parameters: the data of the page's script.
    """

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.elements, self.parameters = "", [], None
        self._open: list[str] = []
        self._is_data = False
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        self._is_data = dict(attributes).get("type") == "application/json"
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data
        elif self._is_data:
            self.parameters = json.loads(data)
            self._is_data = False

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(discovery, path) -> Page:
    discovery.report(path)
    return Page(path.read_text(encoding="utf-8"))
