"""How close the schedule of polls comes to the optimum, in simulated worlds."""
