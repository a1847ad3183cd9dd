"""How close the schedule of looks comes to the optimum, in simulated worlds."""
