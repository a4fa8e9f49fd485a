"""Is a difference between two configurations more than chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiqa_integrations._optional import require

RESAMPLES = 9_999
_CELLS = 4_000_000  # numbers that are resampled at a time: 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two configurations on the same queries, by one measure.

    Attributes:
        metric: The measure.
        base: Name of the configuration that is compared with.
        other: Name of the one that is compared.
        differences: Of each query, float64 `(q,)`: above 0 where `other` is better.
        mean: Their mean.
        low: Lower end of the 95 % confidence interval of the mean; None for a single query.
        high: Upper end.
        p_value: How likely a mean at least as far from 0 is if both are equally good; None for a
            single query.
    """

    metric: str
    base: str
    other: str
    differences: NDArray[np.float64]
    mean: float
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def better(self) -> int:
        """How many queries `other` answers better."""
        return int((self.differences > 0).sum())

    @property
    def worse(self) -> int:
        """How many queries it answers worse."""
        return int((self.differences < 0).sum())


def compare(
    base: NDArray[np.float64],
    other: NDArray[np.float64],
    *,
    metric: str = "",
    names: tuple[str, str] = ("base", "other"),
    seed: int = 0,
) -> Comparison:
    """Compare the values that two configurations have for the same queries.

    The test is the paired randomisation test, two-sided: under the hypothesis that both are
    equally good, the sign of each query's difference is chance. The interval is the percentile
    bootstrap over queries. Both take 9,999 samples.

    Source: Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for
    Information Retrieval Evaluation, CIKM 2007; Sakai, Evaluating Evaluation Metrics Based on the
    Bootstrap, SIGIR 2006.

    Args:
        base: Values of the queries, float64 `(q,)`.
        other: Values of the same queries, in the same order.
        metric: What they are values of.
        names: What the two are called.
        seed: The same seed gives the same interval and p-value.

    Raises:
        MissingDependencyError: The extra `evaluate` is not installed.

    Examples:
        >>> import numpy as np
        >>> base, other = np.array([1.0, 0.5, 0.5, 1.0]), np.array([1.0, 0.5, 1.0, 1.0])
        >>> compared = compare(base, other)
        >>> compared.mean, compared.better, compared.worse
        (0.125, 1, 0)
    """
    differences = np.asarray(other, np.float64) - np.asarray(base, np.float64)
    mean = float(differences.mean())
    low = high = p_value = None
    if not differences.any():
        low, high, p_value = 0.0, 0.0, 1.0
    elif len(differences) > 1:
        stats = require("scipy.stats", purpose="comparing configurations")
        batch = max(1, _CELLS // len(differences))
        interval = stats.bootstrap(
            (differences,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=batch,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
        p_value = float(
            stats.permutation_test(
                (differences,),
                np.mean,
                permutation_type="samples",
                n_resamples=RESAMPLES,
                batch=batch,
                rng=np.random.default_rng(seed),
            ).pvalue
        )
    return Comparison(metric, *names, differences, mean, low, high, p_value)
