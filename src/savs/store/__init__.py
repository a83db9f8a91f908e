"""Head features on disk: written once, never changed, read a few heads at a time. Knows no torch and no model."""

from savs.store.parquet import write_parquet
from savs.store.store import ActivationStore, Damage, check_vacant, is_store
from savs.store.stored import StoredFeatures

__all__ = ["ActivationStore", "Damage", "StoredFeatures", "check_vacant", "is_store", "write_parquet"]
