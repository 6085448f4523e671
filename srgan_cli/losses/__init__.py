"""Content, perceptual and adversarial losses."""
