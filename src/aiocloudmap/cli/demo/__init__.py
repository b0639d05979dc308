"""`aiocloudmap demo`: the same load with three strategies, against a local Cloud Map."""
