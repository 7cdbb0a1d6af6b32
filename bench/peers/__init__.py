"""Brokers that Sluice is measured beside, each brought up alike; README.md argues the settings."""
