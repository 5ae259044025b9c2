"""What bytes mean: endpoints, signatures, envelopes, models as JSON; no I/O and no clock."""
