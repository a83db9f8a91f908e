"""Whether a model's heads are found and read rightly on the machine at hand: checks, and what they found."""

from savs.doctor.certificate import Certificate, Check, certify
from savs.doctor.drift import Drift, measure_drift

__all__ = ["Certificate", "Check", "Drift", "certify", "measure_drift"]
