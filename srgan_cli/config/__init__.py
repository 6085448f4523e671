"""YAML -> one frozen, typed RunConfig, with line numbers and peers' spellings."""

from srgan_cli.config.load import LoadedConfig, load_config, load_default, load_text
from srgan_cli.config.render import dump_config, render_config
from srgan_cli.config.schema import RunConfig

__all__ = [
    "LoadedConfig",
    "RunConfig",
    "dump_config",
    "load_config",
    "load_default",
    "load_text",
    "render_config",
]
