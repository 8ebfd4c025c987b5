"""The settings of this process: those of `utils/config.py`, for the commands to pass on."""

from utils import config
from utils.settings.groups import Settings


def current_settings() -> Settings:
    """Return the settings as the user has written them."""
    return Settings.of(vars(config), "utils/config.py")
