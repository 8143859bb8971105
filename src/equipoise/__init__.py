"""Train generative adversarial networks that stay stable."""

__version__ = "0.1.0.dev0"
