"""A seeded datacenter: servers, services, anomalies and their ground truth."""

from rtmlops_lib.simulator.anomaly import ANOMALIES, AnomalyKind, Effect, How, Shape
from rtmlops_lib.simulator.chunk import SimulatedChunk
from rtmlops_lib.simulator.drift import DRIFTS, Drift
from rtmlops_lib.simulator.fleet import Fleet
from rtmlops_lib.simulator.generation import GENERATIONS, Generation
from rtmlops_lib.simulator.noise import AutoregressiveNoise, FirstOrderLag
from rtmlops_lib.simulator.profile import Profile, load_profile, profiles
from rtmlops_lib.simulator.role import ROLES, Role
from rtmlops_lib.simulator.schedule import AnomalySchedule, Occurrence
from rtmlops_lib.simulator.settings import SimulatorSettings
from rtmlops_lib.simulator.simulator import DatacenterSimulator

__all__ = [
    "ANOMALIES",
    "DRIFTS",
    "GENERATIONS",
    "ROLES",
    "AnomalyKind",
    "AnomalySchedule",
    "AutoregressiveNoise",
    "DatacenterSimulator",
    "Drift",
    "Effect",
    "FirstOrderLag",
    "Fleet",
    "Generation",
    "How",
    "Occurrence",
    "Profile",
    "Role",
    "Shape",
    "SimulatedChunk",
    "SimulatorSettings",
    "load_profile",
    "profiles",
]
