"""Train, apply and diagnose super-resolution GANs on satellite imagery."""

__version__ = "0.1.0"
