"""Drift tests: how far two samples are apart, and whether a stream has changed."""

from rtmlops_lib.monitoring.measures.adwin import Adwin
from rtmlops_lib.monitoring.measures.chi_squared import ChiSquared
from rtmlops_lib.monitoring.measures.domain_classifier import DomainClassifier
from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured
from rtmlops_lib.monitoring.measures.jensen_shannon import JensenShannon
from rtmlops_lib.monitoring.measures.kolmogorov_smirnov import KolmogorovSmirnov
from rtmlops_lib.monitoring.measures.page_hinkley import PageHinkley
from rtmlops_lib.monitoring.measures.population_stability import PopulationStability
from rtmlops_lib.monitoring.measures.stream_test import StreamTest
from rtmlops_lib.monitoring.measures.wasserstein import Wasserstein

__all__ = [
    "Adwin",
    "ChiSquared",
    "DomainClassifier",
    "DriftTest",
    "JensenShannon",
    "KolmogorovSmirnov",
    "Measured",
    "PageHinkley",
    "PopulationStability",
    "StreamTest",
    "Wasserstein",
]
