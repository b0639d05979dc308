"""Values: queries, answers, policies, events, and the protocols of backends and clocks."""
