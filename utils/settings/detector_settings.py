"""The config values that a trained model depends on: they go into its checkpoint, and come back from it."""

from typing import Any

from utils import config
from utils.audio.origin import feature_settings
from utils.settings.overrides import check_type, check_values, own_overrides, public_values
from utils.system.errors import SedError

EVENT_SETTINGS = (
    *("cnn_post_processing", "crnn_post_processing"),
    *("clip_threshold", "high_threshold", "low_threshold", "join_gap", "drop_length"),
    *("frame_threshold", "median_filter_outputs", "window_overlap"),
)


def detector_settings() -> dict[str, Any]:
    """Return the values of the config that a model's features, outputs and events depend on."""
    values = {name: getattr(config, name) for name in (*EVENT_SETTINGS, "outputs_in_float32")}
    return feature_settings() | values


def apply_detector_settings(settings: object, where: str) -> None:
    """Let the config of this process be the one that a checkpoint was trained with.

    How probabilities become events can be chosen anew: of these values, those in the file that SED_CONFIG
    names stay. To be called before anything is computed.

    Parameters
    ----------
    settings : object
        What `detector_settings` returned when the checkpoint was saved; it may be anything, as the file may
        be a stranger's.
    where : str
        The checkpoint, for error messages.

    Raises
    ------
    SedError
        If a value is missing, of the wrong type, or makes no sense.
    """
    if not isinstance(settings, dict):
        raise SedError(f"{where}: its settings are no table of names and values; train again")
    values = {}
    for name, default in detector_settings().items():
        if name not in settings:
            raise SedError(f"{where}: its settings lack {name}; train again")
        check_type(where, name, settings[name], default)
        values[name] = settings[name]
    own = own_overrides(public_values(vars(config)))
    values |= {name: own[name] for name in EVENT_SETTINGS if name in own}
    check_values(values, where)
    vars(config).update(values)
    config.compute_derived_values()
