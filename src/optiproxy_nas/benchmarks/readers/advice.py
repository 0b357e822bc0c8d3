"""What to fetch where a source of NAS-Bench-201 lacks something: text for messages."""

CURVES = (
    "Accuracies after fewer epochs come from other files: join the 12-epoch schedule (source="
    "v1_0+schedule12 or embedded+schedule12), or use per-epoch curves (source=naslib_curves or "
    "natsbench_curves); docs/low-fidelity-data.md says where to get and put them."
)
