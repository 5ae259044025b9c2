"""The tours of `workorder demo`: a plain one, and one among all faults at once."""
