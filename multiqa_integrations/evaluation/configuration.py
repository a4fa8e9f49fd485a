"""What is evaluated: an encoder, and how its vectors are searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.settings import Quantization
from multiqa_integrations.types import Encoder

Mode: TypeAlias = Literal["dense", "bm25", "hybrid"]
Search: TypeAlias = Literal["exact", "hnsw"]

GRAPH_OPTIONS = ("hnsw_ef", "quantization", "rescore", "oversampling")
"""They go with search="hnsw" alone."""

MINIMUM_LIMIT = 10
"""nDCG@10 and MRR@10 need so many hits."""

_OVERSAMPLING = 2.0  # as embedded collections are asked by default; here servers are too


def _encoder() -> Encoder:
    return MultiQAEncoder(on_truncation="ignore")  # the report tells what is cut


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Configuration:
    """A way to search: which vectors, and how they are found.

    Attributes:
        encoder: Makes the vectors; by default `MultiQAEncoder()`.
        mode: "dense" by meaning, "bm25" by words, "hybrid" both, fused by reciprocal ranks.
        search: "exact" compares with every document, in numpy where `mode` is "dense"; "hnsw"
            follows the graph of a store.
        hnsw_ef: How widely the graph is followed; by default the store's choice.
        quantization: What the vectors of the graph are: "none" the originals; "int8", by default;
            "binary"; "turbo1", "turbo1.5", "turbo2" or "turbo4", TurboQuant with so many bits for
            each dimension.
        rescore: Whether their hits are scored again by the originals; by default they are.
        oversampling: How many times as many hits are taken for that; by default 2.
        candidates: How many hits each of the two lists brings to fusion; by default 5 times
            the hits wanted.
        name: How reports call it; by default what sets it apart from the others.

    Examples:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> Configuration(encoder=FakeEncoder(), search="hnsw", hnsw_ef=64).settings
        {'encoder': 'FakeEncoder(seed=0)', 'mode': 'dense', 'search': 'hnsw', 'hnsw_ef': 64}
    """

    encoder: Encoder = field(default_factory=_encoder)
    mode: Mode = "dense"
    search: Search = "exact"
    hnsw_ef: int | None = None
    quantization: Quantization | None = None
    rescore: bool | None = None
    oversampling: float | None = None
    candidates: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for name, kinds in (("mode", Mode), ("search", Search), ("quantization", Quantization)):
            value = getattr(self, name)
            if value not in get_args(kinds) and (value is not None or name != "quantization"):
                raise ConfigurationError(
                    f"{name} is {value!r}, expected {', '.join(get_args(kinds))}."
                )
        for name, least in (("hnsw_ef", 1), ("oversampling", 1), ("candidates", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ConfigurationError(f"{name} is {value!r}, expected {least} or more.")
        graph = [name for name in GRAPH_OPTIONS if getattr(self, name) is not None]
        if self.mode == "bm25" and self.search == "hnsw":
            raise ConfigurationError(
                "search is 'hnsw', but words (mode 'bm25') are always searched exactly."
            )
        if self.search == "exact" and graph:
            raise ConfigurationError(
                f"{', '.join(graph)}: a setting of the graph, but search is 'exact'. Pass "
                "search='hnsw' (--search hnsw), or leave it out."
            )
        if self.quantization == "none" and (self.rescore or self.oversampling):
            raise ConfigurationError("rescore and oversampling need quantization.")
        if self.candidates is not None and self.mode != "hybrid":
            raise ConfigurationError("candidates is a setting of mode 'hybrid'.")

    @property
    def needs_store(self) -> bool:
        """Whether a store is filled and searched."""
        return self.mode != "dense" or self.search == "hnsw"

    @property
    def quantized(self) -> bool:
        """Whether the vectors of the graph are smaller than the originals."""
        return self.search == "hnsw" and self.quantization != "none"

    @property
    def oversampled(self) -> float | None:
        """How many times as many hits are taken from smaller vectors; None without them."""
        return (self.oversampling or _OVERSAMPLING) if self.quantized else None

    def check_reach(self, limit: int) -> None:
        """Make sure that so many hits can be asked for without widening the search.

        Raises:
            ConfigurationError: `hnsw_ef` is smaller than the number of hits that are taken from
                the graph, which the engine would search for instead.
        """
        taken = math.ceil(limit * (self.oversampled or 1))
        if self.hnsw_ef is not None and self.hnsw_ef < taken:
            raise ConfigurationError(
                f"hnsw_ef is {self.hnsw_ef}, but {taken} hits are taken from the graph (limit "
                f"{limit}, oversampling {self.oversampled or 1:g}), and it is followed at least so "
                f"widely. Pass a lower limit (--limit {MINIMUM_LIMIT}), or a greater hnsw_ef."
            )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, by name; what is left to others is left out."""
        own = getattr(self.encoder, "settings", None)
        encoder = own if isinstance(own, dict) else {"encoder": repr(self.encoder)}
        names = ("mode", "search", *GRAPH_OPTIONS, "candidates")
        values = {**encoder, **{name: getattr(self, name) for name in names}}
        return {name: value for name, value in values.items() if value is not None}


def name_all(configurations: Sequence[Configuration]) -> list[str]:
    """Name configurations, by their own names or by what sets them apart from the first.

    Raises:
        ConfigurationError: There is none, or two are the same or have the same name.

    Examples:
        >>> name_all([Configuration(), Configuration(search="hnsw"), Configuration(mode="bm25")])
        ['mode=dense search=exact', 'search=hnsw', 'mode=bm25']
    """
    if not configurations:
        raise ConfigurationError("there is no configuration, expected one or more.")
    settings = [configuration.settings for configuration in configurations]
    keys = dict.fromkeys(key for values in settings for key in values)
    base = settings[0]
    differing = [[key for key in keys if values.get(key) != base.get(key)] for values in settings]
    # The first is named by whatever any of the others differs in.
    differing[0] = [key for key in keys if any(key in others for others in differing[1:])]
    names = []
    for configuration, values, shown in zip(configurations, settings, differing, strict=True):
        name = " ".join(f"{key}={_plain(values[key])}" for key in shown if key in values)
        names.append(configuration.name or name or f"{configuration.mode} {configuration.search}")
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise ConfigurationError(
            f"two configurations are called {duplicate!r}: they are the same, or have the same "
            "name."
        )
    return names


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "/".join(str(value).rsplit("/", 2)[-2:])  # of a directory the end is enough
